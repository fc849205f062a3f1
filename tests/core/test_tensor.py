"""Tensors as users see them: made from host data, indexed, computed with, read, described."""

import array
import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from places import BACKENDS
from pycrograd_core import Tensor, get_backend, no_grad, ops
from pycrograd_core.errors import (
    BackendError,
    BackendMismatchError,
    DataError,
    DtypeError,
    GradientError,
    IndexRangeError,
    InPlaceError,
    PycrogradError,
    ShapeError,
)

GRID = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]

# Made from host data -----------------------------------------------------------------------------------------------

SOURCES = {
    "a whole number": (7, [[7.0]]),
    "a number": (2.5, [[2.5]]),
    "a bool": (True, [[1.0]]),
    "a NumPy number": (np.float16(2.5), [[2.5]]),
    "a flat list": ([1, 2.5, 3], [[1.0, 2.5, 3.0]]),
    "nested lists": (GRID, GRID),
    "nested tuples": (tuple(map(tuple, GRID)), GRID),
    "a range": (range(3), [[0.0, 1.0, 2.0]]),
    "no elements": ([], [[]]),
    "a flat array": (np.array([1.0, 2.0]), [[1.0, 2.0]]),
    "0 dimensions": (np.array(3.0), [[3.0]]),
    "float16": (np.array(GRID, "float16"), GRID),
    "float64": (np.array(GRID), GRID),
    "uint8": (np.array(GRID, "uint8"), GRID),
    "int64": (np.array(GRID, "int64"), GRID),
    "booleans": (np.array([[True, False]]), [[1.0, 0.0]]),
    "big-endian": (np.array(GRID, ">f4"), GRID),
    "a transpose": (np.array(GRID).T, np.transpose(GRID).tolist()),
    "columns in steps": (np.arange(12.0).reshape(2, 6)[:, ::-2], [[5.0, 3.0, 1.0], [11.0, 9.0, 7.0]]),
    "a broadcast": (np.broadcast_to(np.float32(2.0), (2, 2)), [[2.0, 2.0], [2.0, 2.0]]),
    "column-major": (np.asfortranarray(GRID), GRID),
    "array.array": (array.array("d", [1.5, 2.5]), [[1.5, 2.5]]),
    "a memoryview": (memoryview(np.array(GRID)), GRID),
    "bytes of a buffer": (bytearray(b"\x01\x02"), [[1.0, 2.0]]),
    "a C array": ((ctypes.c_double * 3)(1.0, 2.0, 3.0), [[1.0, 2.0, 3.0]]),
    "nan and infinities": ([float("nan"), float("inf")], [[np.nan, np.inf]]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_made_from(name, dtype):
    data, expected = SOURCES[name]
    x = Tensor(data, dtype=dtype)
    values = x.numpy()
    assert (x.dtype, values.dtype, x.shape) == (dtype, dtype, np.shape(expected))
    assert np.array_equal(values, expected, equal_nan=True)


def test_made_from_a_tensor(dtype):
    x = Tensor(GRID, requires_grad=True, dtype=dtype)
    copy = Tensor(x, dtype=dtype)
    copy.assign(np.zeros((2, 3)))
    assert (x.tolist(), copy.requires_grad) == (GRID, False)


def test_the_values_are_a_copy(dtype):
    source = np.array(GRID, dtype)
    x = Tensor(source, dtype=dtype)
    source[:] = 0
    assert x.tolist() == GRID


REFUSED = {
    "ragged lists": ([[1, 2], [3]], DataError, "rows have different lengths: row 0 has 2, row 1 has 1"),
    "a row that is a number": ([[1, 2], 3], DataError, "expected rows of numbers"),
    "3 dimensions": (np.zeros((2, 3, 4)), DataError, r"two dimensions, rows and columns; got 3: \(2, 3, 4\)"),
    "nested too deep": ([[[1.0]]], DataError, "two dimensions"),
    "text": ("abc", DtypeError, "expected numbers, got .*abc"),
    "texts": ([["1", "2"]], DtypeError, "expected numbers"),
    "bytes": (b"abc", DtypeError, "expected numbers"),
    "None": (None, DataError, "expected rows of numbers, got None"),
    "an object": (object(), DataError, "expected rows of numbers"),
    "complex numbers": ([[1j]], DtypeError, "expected numbers, got complex128"),
    "dates": (np.array(["2020-01-01"], "datetime64[D]"), DtypeError, "expected numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_not_made_from(name, backend):
    data, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        Tensor(data)


INDICES = {
    "a flat list": ([3, 1], [[3], [1]]),
    "a number": (3, [[3]]),
    "rows": ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    "none": ([], []),
    "int64": (np.array([3, 1]), [[3], [1]]),
    "uint8": (np.array([3, 255], "uint8"), [[3], [255]]),
    "booleans": (np.array([True, False]), [[1], [0]]),
    "the limits": ([2**31 - 1, -(2**31)], [[2**31 - 1], [-(2**31)]]),
}


@pytest.mark.parametrize("name", INDICES)
def test_indices_made_from(name, backend):
    """A flat sequence of labels is a column: samples are rows."""
    data, expected = INDICES[name]
    x = Tensor(data, dtype="int32")
    assert x.tolist() == expected
    assert (x.dtype, x.numpy().dtype, x.cols) == ("int32", "int32", 2 if name == "rows" else 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1.0], "whole numbers, not floats"),
        (2**31, "fit into int32"),
        ([-(2**31) - 1], "fit into int32"),
        ("a", "numbers"),
    ],
)
def test_indices_not_made_from(data, message, backend):
    with pytest.raises(DtypeError, match=message):
        Tensor(data, dtype="int32")
    with pytest.raises(GradientError, match="int32 tensors are labels"):
        Tensor([1], requires_grad=True, dtype="int32")


@pytest.mark.parametrize("dtype_name", ["float16", "double", "int64", None])
def test_unknown_dtypes(dtype_name, backend):
    with pytest.raises(DtypeError, match="dtype must be float32, float64 or"):
        Tensor(1.0, dtype=dtype_name)


def test_made_on_a_named_backend_and_device(backend):
    name, device = backend.backend, backend.device
    for x in (
        Tensor(1.0),
        Tensor(1.0, backend=name),
        Tensor(1.0, device=device),
        Tensor(1.0, backend=name, device=device),
    ):
        assert type(x.value) is get_backend(name)
        assert x.backend == name
    with pytest.raises(BackendError, match="there is no backend 'nowhere'"):
        Tensor(1.0, backend="nowhere")
    with pytest.raises(PycrogradError):
        Tensor(1.0, device="no such device")


# Read back ---------------------------------------------------------------------------------------------------------


def test_numpy_is_a_copy(dtype):
    x = Tensor(GRID, dtype=dtype)
    for copy in (x.numpy(), np.asarray(x), np.array(x), np.array(x, copy=True)):
        assert copy.flags.writeable
        assert copy.dtype == dtype
        copy[:] = 0
        assert x.tolist() == GRID
    assert np.asarray(x, "float64").dtype == "float64"
    with pytest.raises(ValueError, match="are copied"):
        np.asarray(x, copy=False)


def test_dlpack_shares_memory_read_only(dtype):
    x = Tensor(GRID, dtype=dtype)
    if "host_memory" not in x.value.capabilities:
        with pytest.raises(BackendMismatchError, match=r"keeps its values elsewhere: use .numpy\(\)"):
            np.from_dlpack(x)
        return
    view = np.from_dlpack(x)
    assert (view.dtype, view.tolist(), view.flags.writeable) == (dtype, GRID, False)
    x.assign(np.zeros((2, 3)))
    assert not view.any()
    assert type(x.to_dlpack()).__name__ == "PyCapsule"
    assert x.__dlpack_device__() == (1, 0)


def test_numbers(leaf, dtype):
    x = leaf([[2.5]])
    assert (x.item(), float(x), bool(x), bool(x * 0.0)) == (2.5, 2.5, True, False)
    assert type(Tensor(3, dtype="int32").item()) is int
    for read in (Tensor.item, float, bool):
        with pytest.raises(ShapeError, match="only a 1×1 tensor is one number"):
            read(leaf([[1.0, 2.0]]))
    assert type(x.item()) is float


def test_len_iteration_and_description(leaf, dtype):
    x = leaf(GRID)
    assert (len(x), x.rows, x.cols, x.shape) == (2, 2, 3, (2, 3))
    assert [row.tolist() for row in x] == [[row] for row in GRID]
    assert len({x, x, leaf(GRID)}) == 2, "tensors are equal by identity"
    note = "" if dtype == "float32" else ", float64"
    place = f"2×3, {x.backend}{note}"
    assert repr(x) == f"Tensor([[1., 2., 3.],\n        [4., 5., 6.]], {place}, requires_grad)"
    assert repr(x.detach()).endswith(f"]], {place})")
    assert repr(x * 2.0).endswith(f"]], {place}, from multiply)")
    assert len(repr(Tensor(np.zeros((300, 300))))) < 400


# Indexing ----------------------------------------------------------------------------------------------------------


@st.composite
def keys(draw, extent):
    if extent and draw(st.booleans()):
        return draw(st.integers(-extent, extent - 1))
    bounds = st.none() | st.integers(-2 * extent - 1, 2 * extent + 1)
    return slice(draw(bounds), draw(bounds), draw(st.sampled_from([None, 1])))


def kept(key):
    """The same selection for NumPy, which drops the dimension of a number."""
    return slice(key, key + 1 or None) if isinstance(key, int) else key


@given(data=st.data(), rows=st.integers(0, 4), cols=st.integers(0, 4))
def test_blocks_are_selected_as_numpy_selects_them(data, rows, cols):
    x = np.arange(float(rows * cols)).reshape(rows, cols)
    row, col = data.draw(keys(rows)), data.draw(keys(cols))
    assert np.array_equal(Tensor(x)[row, col].numpy(), x[kept(row), kept(col)])
    assert np.array_equal(Tensor(x)[row].numpy(), x[kept(row)])


def test_the_gradient_of_a_block(leaf):
    x = leaf(np.ones((3, 4)))
    (x[1:, 2] * 5.0 + x[0, 0]).sum().backward()
    assert x.grad.tolist() == [[2, 0, 0, 0], [0, 0, 5, 0], [0, 0, 5, 0]]
    assert x[np.int64(1), np.uint8(2)].shape == (1, 1)


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        (2, IndexRangeError, "row 2 is outside a tensor of 2 rows"),
        (-3, IndexRangeError, "row -3 is outside"),
        ((0, 3), IndexRangeError, "column 3 is outside a tensor of 3 columns"),
        (slice(None, None, 2), DataError, r"a slice of rows must have step 1; take_rows\(\)"),
        ((0, slice(None, None, -1)), DataError, "a slice of columns must have step 1"),
        (1.0, DataError, r"a row is selected by a number or a slice, not float: see take_rows\(\)"),
        ([0, 1], DataError, "not list"),
        (np.array([0, 1]), DataError, "not ndarray"),
        (None, DataError, "not NoneType"),
        (..., DataError, "not ellipsis"),
        ((0, 1, 2), DataError, "not tuple"),
        ("row", DataError, "not str"),
    ],
)
def test_what_selects_nothing(key, error, message, backend):
    with pytest.raises(error, match=message):
        Tensor(GRID)[key]


def test_elements_are_not_written_to(backend):
    x = Tensor(GRID)
    with pytest.raises(InPlaceError, match=r"select with ops\.where, join with ops\.concat, or assign\(\)"):
        x[0, 0] = 1.0


# Computing ---------------------------------------------------------------------------------------------------------

OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": lambda a, b: a**b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
}
OTHERS = {
    "int": 2,
    "float": 2.5,
    "bool": True,
    "NumPy number": np.float64(2.5),
    "lists": [[2.0, 1.0, 3.0]],
    "float64": np.array([[2.0, 1.0, 3.0]]),
    "float32": np.array([[2.0, 1.0, 3.0]], "float32"),
    "int64": np.array([[2], [3]]),
    "flat array": np.array([2.0, 1.0, 3.0]),
}


@pytest.mark.parametrize("symbol", OPERATORS)
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_operators_with_host_data_on_both_sides(symbol, other, leaf, dtype):
    """The result is a tensor of this dtype, whatever the other operand, and an array never swallows a tensor."""
    compute, x, host = OPERATORS[symbol], leaf(GRID), np.array(GRID)
    for y, expected in (
        (compute(x, other), compute(host, np.array(other))),
        (compute(other, x), compute(np.array(other), host)),
    ):
        assert type(y) is Tensor
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
        assert y.requires_grad == (symbol in "+-/**")


def test_matmul_with_arrays_on_both_sides(leaf, dtype):
    x, host = leaf(GRID), np.arange(6.0).reshape(3, 2)
    for y, expected in ((x @ host, GRID @ host), (host @ x, host @ GRID), (x @ host.tolist(), GRID @ host)):
        assert type(y) is Tensor
        assert y.numpy().tolist() == expected.tolist()
    with pytest.raises(ShapeError, match="matmul"):
        x @ x


def test_signs_and_transposes(leaf):
    x = leaf([[1.0, -2.0]])
    assert ((-x).tolist(), (+x).tolist(), abs(x).tolist(), x.T.tolist()) == (
        [[-1.0, 2.0]], [[1.0, -2.0]], [[1.0, 2.0]], [[1.0], [-2.0]],
    )  # fmt: skip


def test_augmented_assignment_makes_a_new_tensor(leaf):
    x = y = leaf([[1.0]])
    y += 1.0
    y *= 3.0
    assert (x.item(), y.item(), x.is_leaf, y.is_leaf) == (1.0, 6.0, True, False)


METHODS = {
    **dict.fromkeys(
        ("sum", "mean", "max", "min", "argmax", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "gelu"), ()
    ),
    **dict.fromkeys(("abs", "softmax", "log_softmax"), ()),
    "clip": (1.5, 3.5),
    "reshape": (3, 2),
    "take_rows": ([1, 0, 1],),
}
NAMES = {"clip": ("low", "high"), "reshape": ("rows", "cols")}


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_ops(name, dtype):
    x, arguments, op = Tensor(GRID, dtype=dtype), METHODS[name], ops.TABLE[name]
    expected = op(x, **dict(zip(NAMES[name], arguments, strict=True))) if name in NAMES else op(x, *arguments)
    assert np.array_equal(getattr(x, name)(*arguments).numpy(), expected.numpy())
    if name in ("sum", "mean", "max", "min", "argmax", "softmax", "log_softmax"):
        for axis in (0, 1):
            assert np.array_equal(getattr(x, name)(axis).numpy(), op(x, axis=axis).numpy())


def test_dtypes_do_not_mix(exact):
    single, double = Tensor(GRID), Tensor(GRID, dtype="float64")
    for compute in OPERATORS.values():
        with pytest.raises(DtypeError, match=r"float32 and float64 do not mix; convert one"):
            compute(single, double)
    assert (single.to(dtype="float64") + double).dtype == "float64"


# Elsewhere ---------------------------------------------------------------------------------------------------------


def test_detach_shares_the_value(leaf):
    x = leaf(GRID)
    y = (x * 2.0).detach()
    assert (y.requires_grad, y.is_leaf, y.node) == (False, True, None)
    assert x.detach().value is x.value


def test_to_copies(leaf, dtype):
    x = leaf(GRID)
    same, single = x.to(), x.to(dtype="float32")
    assert (same.dtype, single.dtype, same.requires_grad, type(same.value)) == (dtype, "float32", True, type(x.value))
    with no_grad():
        x.assign(np.zeros((2, 3)))
    assert same.tolist() == single.tolist() == GRID
    with pytest.raises(GradientError, match=r"detach\(\) it first"):
        (x * 2.0).to(dtype="float32")
    assert Tensor([3], dtype="int32").to(dtype=dtype).tolist() == [[3.0]]
    with pytest.raises(DtypeError, match="whole numbers"):
        x.to(dtype="int32")


@pytest.mark.parametrize(("first", "second"), [(a, b) for a in BACKENDS for b in BACKENDS])
def test_to_another_backend(first, second):
    x = Tensor(GRID, requires_grad=True, backend=first)
    y = x.to(backend=second)
    assert (y.backend, y.tolist(), y.requires_grad) == (second, GRID, True)
    assert y.value is not x.value


def test_like_and_new_full(leaf, dtype):
    x = leaf(GRID)
    assert (x.like([1]).dtype, x.like_indices([1, 2]).tolist()) == (dtype, [[1], [2]])
    full = x.new_full(2, 1, 0.5)
    assert (full.tolist(), full.dtype, full.requires_grad) == ([[0.5], [0.5]], dtype, False)


def test_where_it_is_and_what_number_it_is(backend):
    assert Tensor(2.5).device == backend.device
    assert (int(Tensor(2.5)), float(Tensor(2.5))) == (2, 2.5)
