"""Generated from the op table: every op and its gradients, on its samples, on every backend, in every dtype.

They are held against plain NumPy formulas, and differences of these. What only a kernel can get wrong the kit finds.
"""

import inspect

import numpy as np
import pytest

from pycrograd_core import Tensor, grad, gradcheck, gradgradcheck
from pycrograd_core.conformance import Subject
from pycrograd_core.conformance.measure import whole
from pycrograd_core.conformance.reference import REFERENCE, differences
from pycrograd_core.errors import ShapeError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops import TABLE
from pycrograd_core.ops.samples import Sample
from pycrograd_core.random import RandomStream

DOUBLE = 1e-12  # in float64, the relative error of an op
SLOPE = 10  # in float32, how many times an op's tolerance its gradient may be off


def draw(op, sample):
    return sample.draw(RandomStream(0, "test", op.name))


def tensors(op, arrays, dtype, checked=()):
    """The arrays as tensors, those at the `checked` positions requiring a gradient."""
    return [
        Tensor(x, position in checked, dtype=INDEX_DTYPE if position in op.indices else dtype)
        for position, x in enumerate(arrays)
    ]


def slopes(op, count):
    """The positions of the inputs to which a gradient passes."""
    floats = [position for position in range(count) if position not in op.indices]
    return floats if op.gradients is None else [position for position in floats if op.rule(position)]


def tolerance(op, dtype):
    return op.tolerance if dtype == "float32" else DOUBLE


def samples(op):
    """An op's own, and one without parameters where all of them have a default."""
    yield from op.samples
    optional = list(inspect.signature(REFERENCE[op.name]).parameters.values())[len(op.samples[0].inputs) :]
    if optional and not op.variadic and all(parameter.default is not parameter.empty for parameter in optional):
        yield Sample(op.samples[0].inputs)


def cases(ops):
    return [pytest.param(op, sample, id=f"{op.name}-{i}") for op in ops for i, sample in enumerate(samples(op))]


every = pytest.mark.parametrize(("op", "sample"), cases(TABLE.values()))
differentiable = pytest.mark.parametrize(("op", "sample"), cases(op for op in TABLE.values() if op.differentiable))


FLOPS = {
    "matmul": lambda y, a, b, transpose_a, transpose_b: 2 * y.size * a.shape[0 if transpose_a else 1],
    "linear": lambda y, x, weight, bias: 2 * y.size * x.shape[1] + y.size,
    **dict.fromkeys(("sum", "max", "argmax"), lambda y, x, axis: x.size),
    **dict.fromkeys(("transpose", "reshape", "slice", "concat", "take_rows"), lambda y, *inputs, **params: 0),
}


def test_every_op_is_described_sampled_and_has_a_reference():
    assert TABLE.keys() == REFERENCE.keys()
    for op in TABLE.values():
        assert op.summary.strip().endswith(".")
        assert "\n" not in op.summary
        assert op.samples
        assert op.tolerance <= 1e-5
        assert op.gradients is None or op.variadic or all(len(op.gradients) == len(s.inputs) for s in op.samples)


@every
def test_forward(op, sample, dtype):
    arrays = draw(op, sample)
    inputs = tensors(op, arrays, dtype)
    y = op(*inputs, **sample.params)
    whole(y.numpy(), REFERENCE[op.name](*arrays, **sample.params), tolerance(op, dtype), op.name)
    assert all(np.array_equal(x.numpy(), array) for x, array in zip(inputs, arrays, strict=True)), "an input changed"


@differentiable
def test_gradient(op, sample, dtype):
    arrays = draw(op, sample)
    checked = slopes(op, len(arrays))
    inputs = tensors(op, arrays, dtype, checked)
    y = op(*inputs, **sample.params)
    weights = np.linspace(0.5, 1.5, y.rows * y.cols).reshape(y.shape).astype("float32").astype("float64")
    found = grad(y, [inputs[position] for position in checked], Tensor(weights, dtype=dtype), allow_unused=True)

    def weighted(*arrays):
        return (REFERENCE[op.name](*arrays, **sample.params) * weights).sum()

    limit = SLOPE * op.tolerance if dtype == "float32" else 1e-8  # of the differences
    for position, gradient in zip(checked, found, strict=True):
        whole(gradient.numpy(), differences(weighted, arrays, position), limit, f"gradient {position} of {op.name}")


@differentiable
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradcheck(op, sample, check, exact):
    arrays = draw(op, sample)
    check(lambda *inputs: op(*inputs, **sample.params), tensors(op, arrays, "float64", slopes(op, len(arrays))))


def test_ops_know_which_kernels_take_out(backend):
    having = [op for op in TABLE.values() if hasattr(backend, op.name)]
    assert {op.name: Subject(backend).takes_out(op) for op in having} == {op.name: op.takes_out for op in having}


def test_costs():
    """A product counts a multiply-add as two; where no cost is given, it is one for each element of the result."""
    assert {op.name for op in TABLE.values() if op.flops} == FLOPS.keys()
    for name, flops in FLOPS.items():
        for sample in TABLE[name].samples:
            arrays = draw(TABLE[name], sample)
            y = REFERENCE[name](*arrays, **sample.params)
            assert TABLE[name].flops(*arrays, **sample.params) == flops(y, *arrays, **sample.params)


KINKS = {  # the gradients of each input, for a gradient of 1
    "relu": ([[-1.0, 0.0, 1.0]], {}, [[[0.0, 0.0, 1.0]]]),
    "abs": ([[-1.0, 0.0, 1.0]], {}, [[[-1.0, 0.0, 1.0]]]),
    "clip": ([[-1.5, -1.0, 0.0, 1.0, 1.5]], {"low": -1.0, "high": 1.0}, [[[0.0, 1.0, 1.0, 1.0, 0.0]]]),
    "maximum": ([[1.0, 2.0, 3.0]], [[2.0, 2.0, 2.0]], {}, [[[0.0, 0.5, 1.0]], [[1.0, 0.5, 0.0]]]),
    "minimum": ([[1.0, 2.0, 3.0]], [[2.0, 2.0, 2.0]], {}, [[[1.0, 0.5, 0.0]], [[0.0, 0.5, 1.0]]]),
    "max": ([[1.0, 2.0, 2.0]], {"axis": 1}, [[[0.0, 0.5, 0.5]]]),
    "min": ([[1.0, 1.0, 2.0]], {"axis": None}, [[[0.5, 0.5, 0.0]]]),
    "power": (
        [[0.0, 0.0, 2.0, 0.0]],
        [[0.0, 1.0, 0.0, 2.0]],
        {},
        [[[0.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, np.log(2.0), 0.0]]],
    ),
}


@pytest.mark.parametrize("name", KINKS)
def test_gradients_at_kinks(name, leaf):
    """Where there is no one derivative, the op's summary says which is taken: what is equal shares."""
    *arrays, params, expected = KINKS[name]
    inputs = [leaf(x) for x in arrays]
    TABLE[name](*inputs, **params).sum().backward()
    for x, slope in zip(inputs, expected, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-6)


@pytest.mark.parametrize("result", ["float32", "float64", "int32"])
def test_one_hot_in_each_dtype(result, exact):
    y = TABLE["one_hot"](Tensor([0, 2, 2], dtype="int32"), classes=3, dtype=result)
    assert (y.dtype, y.tolist()) == (result, [[1, 0, 0], [0, 0, 1], [0, 0, 1]])
    assert TABLE["one_hot"](Tensor([0, 0], dtype="int32"), classes=1, dtype=result).tolist() == [[1], [1]]


# Extents -----------------------------------------------------------------------------------------------------------


def test_extents_of_one_broadcast(leaf):
    """Each pair of shapes with extents 0 to 3 broadcasts as NumPy's do, and the gradients have the operands' shapes."""
    shapes = [(rows, cols) for rows in range(4) for cols in range(4)]
    for first, second in [(first, second) for first in shapes for second in shapes]:
        a, b = leaf(np.full(first, 2.0)), leaf(np.full(second, 3.0))
        try:
            expected = np.broadcast_shapes(first, second)
        except ValueError:
            with pytest.raises(ShapeError):
                a * b
            continue
        y = a * b
        y.sum().backward()
        assert np.array_equal(y.numpy(), np.full(expected, 6.0))
        for x, other in ((a, 3.0), (b, 2.0)):
            share = np.prod(expected) / max(1, np.prod(x.shape))
            assert np.array_equal(x.grad.numpy(), np.full(x.shape, share * other))


EMPTY = [
    *[(name, [shape], {}) for name in ("exp", "relu", "transpose", "sum") for shape in ((0, 3), (3, 0), (0, 0))],
    *[("sum", [shape], {"axis": axis}) for axis in (0, 1) for shape in ((0, 3), (3, 0), (0, 0))],
    *[(name, [(0, 3), (1, 3)], {}) for name in ("add", "divide", "maximum", "greater")],
    *[(name, [(3, 0), (3, 1)], {}) for name in ("add", "divide", "maximum", "greater")],
    ("where", [(0, 3), (1, 1), (1, 3)], {}),
    ("max", [(0, 3)], {"axis": 1}),
    ("max", [(3, 0)], {"axis": 0}),
    ("softmax", [(0, 3)], {"axis": 1}),
    ("log_softmax", [(3, 0)], {"axis": 0}),
    ("mean", [(0, 3)], {"axis": 1}),
    ("matmul", [(0, 3), (3, 2)], {}),
    ("matmul", [(3, 0), (0, 2)], {}),
    ("matmul", [(0, 3), (2, 0)], {"transpose_a": True, "transpose_b": True}),
    ("linear", [(3, 0), (0, 2), (1, 2)], {}),
    ("linear", [(0, 3), (3, 2), (1, 2)], {}),
    ("reshape", [(0, 3)], {"rows": 5, "cols": 0}),
    ("broadcast_to", [(1, 3)], {"rows": 0, "cols": 3}),
    ("slice", [(3, 4)], {"row_start": 2, "row_stop": 2, "col_start": 1, "col_stop": 3}),
    ("slice", [(3, 4)], {"row_start": 0, "row_stop": 3, "col_start": 4, "col_stop": 4}),
    ("pad", [(0, 2)], {"above": 1, "below": 2, "left": 0, "right": 1}),
    ("pad", [(2, 0)], {"above": 0, "below": 0, "left": 2, "right": 0}),
    ("concat", [(0, 3), (2, 3), (0, 3)], {"axis": 0}),
    ("concat", [(2, 0), (2, 3)], {"axis": 1}),
    ("concat", [(0, 3), (0, 2)], {"axis": 1}),
    ("sgd_update", [(0, 3), (0, 3), (1, 1)], {}),
]


@pytest.mark.parametrize(("name", "shapes", "params"), EMPTY)
def test_empty_extents(name, shapes, params, dtype):
    op, arrays = TABLE[name], [np.full(shape, 1.5) for shape in shapes]
    checked = slopes(op, len(arrays)) if op.differentiable else ()
    inputs = tensors(op, arrays, dtype, checked)
    y = op(*inputs, **params)
    expected = REFERENCE[name](*arrays, **params)
    assert y.shape == expected.shape
    assert np.array_equal(y.numpy(), expected)
    if checked:
        y.sum().backward()
        assert all(np.isfinite(x.grad.numpy()).all() and x.grad.shape == x.shape for x in inputs if x.requires_grad)


@pytest.mark.parametrize("rows", [[], [2, 0, 2, 2], [3, 3, 3, 3, 3, 3, 3]])
def test_rows_may_be_taken_and_added_to_repeatedly(rows, dtype):
    x = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True, dtype=dtype)
    indices = Tensor(np.array(rows, dtype="int32"), dtype="int32")
    updates = np.arange(len(rows) * 3.0).reshape(-1, 3) + 1
    taken = x.take_rows(indices)
    taken.backward(updates)
    assert np.array_equal(taken.numpy(), x.numpy()[rows])
    assert np.array_equal(x.grad.numpy(), REFERENCE["add_rows"](np.zeros((4, 3)), indices.numpy(), updates))
    added = TABLE["add_rows"](x, indices, updates)
    assert np.array_equal(added.numpy(), REFERENCE["add_rows"](x.numpy(), indices.numpy(), updates))
