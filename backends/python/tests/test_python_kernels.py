"""The kernels against what IEEE 754 and the contract say of single numbers, and each override against the core."""

from __future__ import annotations

import math
from array import array
from itertools import product as combinations
from math import inf, nan

import pytest

from pycrograd_core import ops
from pycrograd_core.errors import IndexRangeError
from pycrograd_core.matrix import FORMATS
from pycrograd_core.random import RandomStream
from pycrograd_python import ieee, plugin, product
from pycrograd_python.kernels import Kernels
from pycrograd_python.matrix import PythonMatrix

BIGGEST = 3.4028234663852886e38  # of float32
DTYPES = ("float32", "float64")


def matrix(rows, dtype="float32", kind=PythonMatrix):
    """A matrix from nested lists; a flat list is one row."""
    rows = rows if rows and isinstance(rows[0], list) else [rows]
    flat = [x for row in rows for x in row]
    return kind.from_host(array(FORMATS[dtype], flat), len(rows), len(rows[0]), dtype)


def empty(rows, cols, dtype="float32"):
    return PythonMatrix.from_host(array(FORMATS[dtype]), rows, cols, dtype)


def values(x):
    return list(memoryview(x.to_host()))


def rows_of(x):
    flat = values(x)
    return [flat[i * x.cols : (i + 1) * x.cols] for i in range(x.rows)]


def same(got, expected):
    """Equal to the sign of a zero, with nan equal to nan."""
    return len(got) == len(expected) and all(
        math.isnan(a) if math.isnan(b) else a == b and math.copysign(1, a) == math.copysign(1, b)
        for a, b in zip(got, expected, strict=True)
    )


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


# Special values ----------------------------------------------------------------------------------------------------

UNARY = {
    "exp": [(0, 1), (-0.0, 1), (1000, inf), (-1000, 0), (inf, inf), (-inf, 0), (nan, nan)],
    "log": [(1, 0), (0, -inf), (-0.0, -inf), (-1, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "sqrt": [(4, 2), (0, 0), (-0.0, -0.0), (-1, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "tanh": [(0, 0), (-0.0, -0.0), (inf, 1), (-inf, -1), (1000, 1), (nan, nan)],
    "abs": [(-2, 2), (-0.0, 0), (-inf, inf), (nan, nan)],
    "negative": [(2, -2), (inf, -inf), (nan, nan)],
    "relu": [(2, 2), (-2, 0), (0, 0), (inf, inf), (-inf, 0), (nan, nan)],
    "sigmoid": [(0, 0.5), (1000, 1), (-1000, 0), (inf, 1), (-inf, 0), (nan, nan)],
}
BINARY = {
    "add": [(1, 2, 3), (inf, -inf, nan), (inf, 1, inf), (nan, 1, nan), (-0.0, -0.0, -0.0)],
    "subtract": [(1, 2, -1), (inf, inf, nan), (0, inf, -inf)],
    "multiply": [(2, 3, 6), (0, inf, nan), (-2, inf, -inf), (-0.0, 3, -0.0)],
    "divide": [
        (6, 3, 2), (1, 0, inf), (-1, 0, -inf), (1, -0.0, -inf), (-1, -0.0, inf), (0, 0, nan), (-0.0, 0, nan),
        (nan, 0, nan), (inf, 0, inf), (inf, -0.0, -inf), (inf, inf, nan), (1, inf, 0), (-1, inf, -0.0), (0, 5, 0),
    ],
    "power": [
        (2, 3, 8), (-2, 3, -8), (-2, 2, 4), (-2, 0.5, nan), (4, 0.5, 2), (0, 0, 1), (nan, 0, 1), (1, nan, 1),
        (0, -1, inf), (-0.0, -1, -inf), (-0.0, -3, -inf), (-0.0, -2, inf), (0, -0.5, inf), (-0.0, -0.5, inf),
        (0, -inf, inf), (10, 400, inf), (-10, 400, inf), (-10, 401, -inf), (10, -400, 0), (inf, -1, 0),
        (-inf, 3, -inf), (-8, -inf, 0), (-1, inf, 1), (2, inf, inf), (nan, 1, nan), (2, nan, nan),
    ],
    "maximum": [(1, 2, 2), (2, 1, 2), (nan, 1, nan), (1, nan, nan), (-inf, 1, 1), (nan, nan, nan)],
    "minimum": [(1, 2, 1), (2, 1, 1), (nan, 1, nan), (1, nan, nan), (inf, 1, 1)],
    "greater": [(2, 1, 1), (1, 1, 0), (1, 2, 0), (nan, 1, 0), (1, nan, 0), (inf, 1, 1), (0, -0.0, 0)],
    "less": [(1, 2, 1), (1, 1, 0), (nan, 1, 0), (1, nan, 0)],
    "equal": [(1, 1, 1), (0, -0.0, 1), (1, 2, 0), (inf, inf, 1), (inf, -inf, 0), (nan, nan, 0)],
    "not_equal": [(1, 1, 0), (1, 2, 1), (inf, inf, 0), (nan, nan, 1)],
    "greater_equal": [(2, 1, 1), (1, 1, 1), (1, 2, 0), (nan, nan, 0), (inf, inf, 1)],
    "less_equal": [(2, 1, 0), (1, 1, 1), (1, 2, 1), (nan, nan, 0), (-inf, -inf, 1)],
    "relu_gradient": [(5, 2, 5), (5, 0, 0), (5, -1, 0), (nan, 0, 0), (nan, 1, nan), (5, nan, 0)],
}  # fmt: skip


@pytest.mark.parametrize("name", UNARY)
def test_special_values_of_one_operand(name, dtype):
    xs, expected = zip(*UNARY[name], strict=True)
    assert same(values(ops.TABLE[name](matrix(list(xs), dtype))), expected)


@pytest.mark.parametrize("name", BINARY)
def test_special_values_of_two_operands(name, dtype):
    xs, ys, expected = zip(*BINARY[name], strict=True)
    assert same(values(ops.TABLE[name](matrix(list(xs), dtype), matrix(list(ys), dtype))), expected)


def test_the_result_is_the_same_with_and_without_an_element_that_raises(dtype):
    """Quick and careful functions agree, so one bad element changes no other."""
    for name, good, bad in (("exp", 1.5, 1e4), ("log", 1.5, 0), ("sqrt", 1.5, -1), ("tanh", 1.5, inf)):
        op = ops.TABLE[name]
        assert values(op(matrix([good, bad], dtype)))[0] == values(op(matrix([good], dtype)))[0]
    for name, bad in (("divide", (1, 0)), ("power", (0, -1))):
        op = ops.TABLE[name]
        alone = op(matrix([1.5], dtype), matrix([0.3], dtype))
        together = op(matrix([1.5, bad[0]], dtype), matrix([0.3, bad[1]], dtype))
        assert values(together)[0] == values(alone)[0]


def test_beyond_float32_is_infinite():
    big = matrix([BIGGEST, -BIGGEST])
    assert values(big + big) == [inf, -inf]
    assert values(big * 2.0) == [inf, -inf]
    assert values(ops.exp(matrix([100.0]))) == [inf]
    assert values(ops.sum(matrix([BIGGEST, BIGGEST]))) == [inf]
    assert values(big @ matrix([[2.0], [0.0]])) == [inf]
    assert values(PythonMatrix.full(1, 2, 1e39, "float32")) == [inf, inf]
    assert values(ops.exp(matrix([100.0], "float64"))) == [math.exp(100)]


def test_beyond_float64_is_infinite():
    big = matrix([1e308, -1e308], "float64")
    assert values(big * 10.0) == [inf, -inf]
    assert values(big + big) == [inf, -inf]
    assert values(ops.divide(big, matrix([1e-10], "float64"))) == [inf, -inf]
    assert values(ops.power(big, matrix([3.0], "float64"))) == [inf, -inf]


def test_float32_rounds_what_is_stored():
    third = matrix([1.0]) / 3.0
    assert values(third) == list(array("f", [1 / 3]))
    assert values(third) != [1 / 3]
    assert values(matrix([1.0], "float64") / 3.0) == [1 / 3]


def test_where_chooses_and_does_not_compute():
    chosen = ops.where(matrix([1, 0, -0.0, nan, 2]), matrix([1, nan, inf, 4, 5]), matrix([nan, 2, 3, nan, inf]))
    assert values(chosen) == [1, 2, 3, 4, 5]


# Broadcasting ------------------------------------------------------------------------------------------------------

SHAPES = ((3, 4), (1, 4), (3, 1), (1, 1))


@pytest.mark.parametrize(("a", "b"), list(combinations(SHAPES, SHAPES)))
def test_extents_of_one_repeat(a, b):
    def numbered(rows, cols, start):
        return [[float(start + i * cols + j) for j in range(cols)] for i in range(rows)]

    x, y = numbered(*a, 1), numbered(*b, 100)
    z = matrix(x) - matrix(y)
    rows, cols = max(a[0], b[0]), max(a[1], b[1])
    assert z.shape == (rows, cols)
    assert rows_of(z) == [[x[i % a[0]][j % a[1]] - y[i % b[0]][j % b[1]] for j in range(cols)] for i in range(rows)]


def test_three_operands_broadcast_together():
    chosen = ops.where(matrix([[1.0], [0.0]]), matrix([1.0, 2.0, 3.0]), matrix([9.0]))
    assert rows_of(chosen) == [[1, 2, 3], [9, 9, 9]]


def test_broadcast_to_copies_even_where_nothing_repeats():
    x = matrix([[1.0, 2.0]])
    assert rows_of(ops.broadcast_to(x, rows=2, cols=2)) == [[1, 2], [1, 2]]
    assert rows_of(ops.broadcast_to(matrix([[1.0], [2.0]]), rows=2, cols=2)) == [[1, 1], [2, 2]]
    copy = ops.broadcast_to(x, rows=1, cols=2)
    x.assign(matrix([[8.0, 9.0]]))
    assert values(copy) == [1, 2]


# Empty extents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "cols"), [(0, 3), (3, 0), (0, 0)])
def test_empty_matrices(rows, cols):
    x = empty(rows, cols)
    for name in ("exp", "log", "sqrt", "tanh", "relu", "sigmoid", "negative", "abs"):
        assert ops.TABLE[name](x).shape == (rows, cols)
    assert (x + x).shape == (x * 2.0).shape == (x / 0.0).shape == (rows, cols)
    assert x.T.shape == (cols, rows)
    assert ops.reshape(x, rows=cols, cols=rows).shape == (cols, rows)
    assert ops.slice(x, row_start=0, row_stop=rows, col_start=0, col_stop=cols).shape == (rows, cols)
    assert ops.concat(x, x, axis=0).shape == (2 * rows, cols)
    assert ops.concat(x, x, axis=1).shape == (rows, 2 * cols)
    assert values(ops.sum(x)) == [0.0]
    assert values(ops.sum(x, axis=0)) == [0.0] * cols
    assert values(ops.sum(x, axis=1)) == [0.0] * rows
    assert values(PythonMatrix.full(rows, cols, 1.0, "float32")) == values(x) == []


@pytest.mark.parametrize(("m", "k", "n"), [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0)])
@pytest.mark.parametrize(("ta", "tb"), list(combinations((False, True), repeat=2)))
def test_a_product_with_an_empty_extent_is_zero(m, k, n, ta, tb):
    a = PythonMatrix.full(*((k, m) if ta else (m, k)), 1.0, "float32")
    b = PythonMatrix.full(*((n, k) if tb else (k, n)), 1.0, "float32")
    y = ops.matmul(a, b, transpose_a=ta, transpose_b=tb)
    assert y.shape == (m, n)
    assert values(y) == [0.0] * (m * n)


def test_linear_with_an_empty_inner_extent_is_the_bias():
    assert rows_of(ops.linear(empty(2, 0), empty(0, 3), matrix([1.0, 2.0, 3.0]))) == [[1, 2, 3], [1, 2, 3]]


def test_one_by_one():
    x = matrix([2.0])
    assert values(x @ x) == values(x + x) == values(x**2.0) == [4.0]
    assert values(ops.softmax(x)) == [1.0]
    assert values(ops.argmax(x)) == [0]
    assert values(x.T) == values(ops.max(x)) == [2.0]


# Reductions --------------------------------------------------------------------------------------------------------


def test_reductions_along_each_axis(dtype):
    x = matrix([[1, 5, -2], [4, -3, 6]], dtype)
    assert (rows_of(ops.sum(x, axis=0)), rows_of(ops.sum(x, axis=1)), rows_of(ops.sum(x))) == (
        [[5, 2, 4]], [[4], [7]], [[11]],
    )  # fmt: skip
    assert (rows_of(ops.max(x, axis=0)), rows_of(ops.max(x, axis=1)), rows_of(ops.max(x))) == (
        [[4, 5, 6]], [[5], [6]], [[6]],
    )  # fmt: skip
    positions = [ops.argmax(x, axis=axis) for axis in (0, 1, None)]
    assert [rows_of(p) for p in positions] == [[[1, 0, 1]], [[1], [2]], [[5]]]
    assert {p.dtype for p in positions} == {"int32"}


def test_the_greatest_of_negative_numbers_is_negative():
    assert values(ops.max(matrix([-3.0, -1.0, -2.0]))) == [-1.0]
    assert values(ops.max(matrix([-inf, -inf]))) == [-inf]


@pytest.mark.parametrize("row", [[nan, 1.0, 2.0], [1.0, nan, 2.0], [3.0, 1.0, nan], [inf, nan, -inf]])
def test_nan_is_the_greatest(row):
    first = next(i for i, x in enumerate(row) if math.isnan(x))
    assert math.isnan(values(ops.max(matrix(row)))[0])
    assert values(ops.argmax(matrix(row))) == [first]


def test_argmax_takes_the_first_of_equals():
    assert values(ops.argmax(matrix([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [-0.0, 0.0, 0.0]]), axis=1)) == [1, 0, 0]
    assert values(ops.argmax(matrix([[1.0, 3.0], [1.0, 3.0]]), axis=0)) == [0, 0]
    assert values(ops.argmax(matrix([[1.0, nan], [nan, 3.0]]))) == [1]


def test_a_sum_of_infinities():
    assert values(ops.sum(matrix([inf, 1.0]))) == [inf]
    assert math.isnan(values(ops.sum(matrix([inf, -inf])))[0])


def test_a_float32_sum_is_rounded_once():
    """1 + 2⁻²⁵ … added 2¹⁰ times: lost one by one in float32, kept in double."""
    small = 2.0**-25
    assert values(ops.sum(matrix([1.0] + [small] * 1024))) == list(array("f", [1 + 1024 * small]))


# Products ----------------------------------------------------------------------------------------------------------

SIZES = (1, 3, 5, 17, 33)


def triple_loop(a, b, m, k, n):
    y = [[0.0] * n for _ in range(m)]
    for i, j, p in combinations(range(m), range(n), range(k)):
        y[i][j] += a[i][p] * b[p][j]
    return y


def integers(rows, cols, label):
    """Small integers, so that every order of summation gives the same float."""
    drawn = RandomStream(0, label, rows, cols).uniform(rows * cols, -8, 8)
    return [[float(round(float(x))) for x in drawn[i * cols : (i + 1) * cols]] for i in range(rows)]


def transposed(rows):
    return [list(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(("ta", "tb"), list(combinations((False, True), repeat=2)))
def test_products_equal_three_loops(ta, tb):
    for m, k, n in combinations(SIZES, repeat=3):
        a, b = integers(m, k, "a"), integers(k, n, "b")
        y = ops.matmul(
            matrix(transposed(a) if ta else a), matrix(transposed(b) if tb else b), transpose_a=ta, transpose_b=tb
        )
        assert rows_of(y) == triple_loop(a, b, m, k, n), (m, k, n)


@pytest.mark.parametrize("formulation", product.FORMULATIONS)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 8, 9, 10, 16, 63, 64, 65, 129])
def test_every_formulation_at_every_kind_of_strip(formulation, k, monkeypatch):
    monkeypatch.setattr(product, "_PANEL", 1)  # several panels, the last one not full
    m, n = 131, 3
    a, b = integers(m, k, "a"), integers(k, n, "b")
    flat = [array("d", [x for row in rows for x in row]) for rows in (a, b)]
    y = product.product(*flat, (m, k, n), formulation=formulation)
    assert list(y) == [x for row in triple_loop(a, b, m, k, n) for x in row]
    biased = product.product(*flat, (m, k, n), bias=array("d", [100.0, 200.0, 300.0]), formulation=formulation)
    assert list(biased) == [x + (100, 200, 300)[i % 3] for i, x in enumerate(y)]


@pytest.mark.parametrize("formulation", product.FORMULATIONS)
@pytest.mark.parametrize("k", [1, 2, 3, 8, 9, 32, 100])
def test_zero_times_infinity_is_not_skipped(formulation, k):
    zeros, row = array("d", [0.0] * k), array("d", [1.0] * k)
    for position, special in combinations(range(k), (inf, -inf, nan)):
        column = array("d", row)
        column[position] = special
        assert math.isnan(product.product(zeros, column, (1, k, 1), formulation=formulation)[0])
        assert same(product.product(row, column, (1, k, 1), formulation=formulation), [special])


@pytest.mark.parametrize("formulation", product.FORMULATIONS)
def test_products_overflow_to_infinity(formulation):
    for k in (1, 2, 8, 20):
        big, ones = array("f", [BIGGEST] * k), array("f", [1.5] * k)
        assert list(product.product(big, ones, (1, k, 1), formulation=formulation)) == [inf]
        big = array("d", [-1e308] * k)
        assert list(product.product(big, array("d", [1e10] * k), (1, k, 1), formulation=formulation)) == [-inf]


# Layout ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*DTYPES, "int32"])
def test_layout_moves_every_dtype(kind):
    x = matrix([[1, 2, 3], [4, 5, 6]], kind)
    block = ops.slice(x, row_start=1, row_stop=2, col_start=1, col_stop=3)
    results = {
        "transpose": (x.T, [[1, 4], [2, 5], [3, 6]]),
        "reshape": (ops.reshape(x, rows=3, cols=2), [[1, 2], [3, 4], [5, 6]]),
        "slice": (block, [[5, 6]]),
        "below": (ops.concat(x, matrix([[7, 8, 9]], kind), axis=0), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        "beside": (ops.concat(x, matrix([[7], [8]], kind), x, axis=1), [[1, 2, 3, 7, 1, 2, 3], [4, 5, 6, 8, 4, 5, 6]]),
        "take_rows": (ops.take_rows(x, matrix([[1], [0], [1]], "int32")), [[4, 5, 6], [1, 2, 3], [4, 5, 6]]),
    }
    for name, (got, expected) in results.items():
        assert (rows_of(got), got.dtype, got.shape) == (expected, kind, (len(expected), len(expected[0]))), name


def test_add_rows_accumulates_and_leaves_its_operand():
    x = matrix([[1.0, 2.0], [3.0, 4.0]])
    y = ops.add_rows(x, matrix([[1], [1], [0]], "int32"), matrix([[10.0, 20.0], [100.0, 200.0], [0.5, 0.25]]))
    assert rows_of(y) == [[1.5, 2.25], [113, 224]]
    assert rows_of(x) == [[1, 2], [3, 4]]


def test_indices_out_of_range_never_reach_a_kernel():
    for wrong in (-1, 2):
        with pytest.raises(IndexRangeError):
            ops.take_rows(matrix([[1.0], [2.0]]), matrix([[wrong]], "int32"))


# Memory ------------------------------------------------------------------------------------------------------------


def test_from_host_copies_and_to_host_shares():
    source = array("f", [1.0, 2.0])
    x = PythonMatrix.from_host(source, 1, 2, "float32")
    source[0] = 9.0
    view = memoryview(x.to_host())
    assert (list(view), view.readonly, view.format) == ([1, 2], True, "f")
    x.assign(matrix([3.0, 4.0]))
    assert list(view) == [3, 4]


def test_from_host_takes_two_dimensional_and_byte_buffers():
    flat = memoryview(array("f", [1.0, 2.0, 3.0, 4.0]))
    assert rows_of(PythonMatrix.from_host(flat.cast("B").cast("f", (2, 2)), 2, 2, "float32")) == [[1, 2], [3, 4]]
    assert rows_of(PythonMatrix.from_host(flat.tobytes(), 2, 2, "float32")) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("name", ["sgd_update", "accumulate", "adam_update"])
def test_an_update_writes_into_its_first_operand(name):
    op = ops.TABLE[name]
    sample = op.samples[0]
    inputs = drawn(sample, "float32", PythonMatrix)
    expected = values(op(*inputs, **sample.params))
    view = memoryview(inputs[0].to_host())
    assert PythonMatrix.kernels[op](*inputs, **sample.params, out=inputs[0]) is inputs[0]
    assert list(view) == expected


def test_out_is_returned_even_where_it_is_an_operand():
    a, b, y = matrix([[1.0, 2.0]]), matrix([[3.0, 4.0]]), matrix([[0.0, 0.0]])
    assert a.add(b, out=a) is a
    assert values(a) == [4, 6]
    assert a.divide(matrix([0.0]), out=a) is a
    assert values(a) == [inf, inf]
    assert b.relu(out=y) is y
    assert values(y) == [3, 4]
    square = matrix([[1.0, 2.0], [3.0, 4.0]])
    assert rows_of(square.softmax(out=square)) == rows_of(square)
    assert b.matmul(square, out=y) is y


def test_layout_ops_share_no_memory():
    x = matrix([[1.0, 2.0]])
    copies = [x.T, ops.reshape(x, rows=2, cols=1), ops.concat(x, axis=0), ops.take_rows(x, matrix([[0]], "int32"))]
    x.assign(matrix([[8.0, 9.0]]))
    assert [values(copy) for copy in copies] == [[1, 2]] * 4


# Overrides ---------------------------------------------------------------------------------------------------------

OVERRIDES = [op for op in ops.TABLE.values() if PythonMatrix.kernels.overrides(op)]


def drawn(sample, dtype, kind):
    inputs = []
    for host in sample.draw(RandomStream(0, "x")):
        of = "int32" if host.dtype.kind == "i" else dtype
        inputs.append(kind.from_host(host.astype(of), *host.shape, of))
    return inputs


@pytest.mark.parametrize("op", OVERRIDES, ids=lambda op: op.name)
def test_an_override_equals_its_decomposition(op, dtype):
    tolerance = op.tolerance if dtype == "float32" else 1e-13
    for sample in op.samples:
        inputs = drawn(sample, dtype, PythonMatrix)
        fused, decomposed = op(*inputs, **sample.params), op.decomposition(*inputs, **sample.params)
        assert (fused.shape, fused.dtype) == (decomposed.shape, decomposed.dtype)
        assert values(fused) == pytest.approx(values(decomposed), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("op", list(ops.TABLE.values()), ids=lambda op: op.name)
def test_the_required_kernels_alone_compute_every_op(op, dtype):
    assert not Kernels.kernels.overrides(op)
    tolerance = op.tolerance if dtype == "float32" else 1e-13
    for sample in op.samples:
        params = sample.params | ({"dtype": dtype} if op.name == "one_hot" else {})
        plain, quick = (op(*drawn(sample, dtype, kind), **params) for kind in (Kernels, PythonMatrix))
        assert values(quick) == pytest.approx(values(plain), rel=tolerance, abs=tolerance)


OVERRIDES_OF_ONE = ("negative", "abs", "relu", "sigmoid", "softmax", "log_softmax")


@pytest.mark.parametrize("name", OVERRIDES_OF_ONE)
@pytest.mark.parametrize(
    "row", [[1.0, nan, 2.0], [nan, 1.0, 2.0], [inf, 1.0], [-inf, 1.0], [-inf, -inf], [1e30, -1e30], [1e30, 1e30]]
)
def test_an_override_of_special_values_equals_its_decomposition(name, row):
    op, x = ops.TABLE[name], matrix([row, [0.5] * len(row)])
    assert values(op(x)) == pytest.approx(values(op.decomposition(x)), nan_ok=True)


@pytest.mark.parametrize("row", [[1.0, nan, 2.0], [inf, 1.0, 0.0], [-inf, 1.0, 0.0], [1e30, -1e30, 1e30]])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_cross_entropy_of_special_values_equals_its_decomposition(row, label):
    logits, labels, g = matrix([row, [0.5, 0.0, 2.0]]), matrix([[label], [0]], "int32"), matrix([1.0])
    for op, inputs in ((ops.cross_entropy, (logits, labels)), (ops.cross_entropy_gradient, (g, logits, labels))):
        assert values(op(*inputs)) == pytest.approx(values(op.decomposition(*inputs)), nan_ok=True)


def test_adam_where_python_would_raise():
    """A mean of squares of 0, less than 0 or nan, and a share of 0."""
    w, mean = matrix([1.0, 1.0, 1.0, 1.0]), matrix([0.5, 0.0, 0.5, 0.5])
    inputs = (w, mean, matrix([0.0, 0.0, -1.0, nan]), matrix([0.1]), matrix([1.0]), matrix([1.0]))
    assert same(values(ops.adam_update(*inputs, epsilon=0.0)), [-inf, nan, nan, nan])
    assert same(values(w.adam_update(*inputs[1:], epsilon=0.0, out=w)), [-inf, nan, nan, nan])


def test_count_correct_counts():
    logits = matrix([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0], [nan, 3.0]])
    assert values(ops.count_correct(logits, matrix([[1], [1], [0], [0]], "int32"))) == [3.0]


# The rest ----------------------------------------------------------------------------------------------------------


def test_sigmoid_keeps_its_small_values():
    assert ieee.sigmoid(-700.0) == math.exp(-700.0)


def test_the_plugin_registers_one_backend():
    (spec,) = plugin.pycrograd_register_backends()
    assert (spec.name, spec.contract, spec.priority) == ("python", (1, 0), 10)
    assert spec.load(None) is PythonMatrix
    assert spec.probe().devices
    assert not spec.probe().reason


def test_capabilities():
    assert PythonMatrix.capabilities == {"float64", "host_memory", "deterministic", "exact_capture"}
    assert not PythonMatrix.__abstractmethods__
    assert PythonMatrix.synchronize() is None
