"""The expression of every elementwise op, on numbers and on vectors, against NumPy."""

from math import inf, nan

import numpy as np
import pyopencl as cl
import pytest

from pycrograd_opencl.c_types import CType, preamble
from pycrograd_opencl.eager.elementwise import arity
from pycrograd_opencl.expressions import ELEMENTWISE, expression
from pycrograd_opencl.runtime import runtime_of

VALUES = [0.0, -0.0, 1.0, -1.0, 2.5, -2.5, 0.3, -0.7, 100.0, -100.0, 1e30, -1e30, 1e-30, inf, -inf, nan]
SCALARS = {"float": np.float32, "double": np.float64}
PARAMS = {
    "accumulate": {"decay": 0.9, "weight": 0.1},
    "adam_update": {"epsilon": 1e-8},
    "broadcast_to": {"rows": 16, "cols": 16},
    "clip": {"low": -0.7, "high": 1.1},
    "dropout": {"rate": 0.25},
}
MEANING = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "power": np.power,
    "negative": np.negative,
    "abs": np.abs,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "relu_gradient": lambda g, y: np.where(y > 0, g, 0),
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "greater": np.greater,
    "less": np.less,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater_equal": np.greater_equal,
    "less_equal": np.less_equal,
    "broadcast_to": lambda x, rows, cols: x,
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "dropout": lambda x, keep, rate: x * (keep * (1 / (1 - rate))),
    "sgd_update": lambda w, g, rate: w - rate * g,
    "accumulate": lambda old, new, decay, weight: old * decay + new * weight,
    "adam_update": lambda w, m, v, rate, a, b, epsilon: w - rate * ((m / a) / (np.sqrt(v / b) + epsilon)),
}
CONTRACTED = {"accumulate", "sgd_update"}  # a product may go into the sum without being rounded


def operands(op, dtype):
    """Every pair of the values, and for more operands the same in other orders."""
    a, b = np.meshgrid(np.array(VALUES, dtype), np.array(VALUES, dtype))
    return [(a, b, np.roll(b, 3), np.roll(a, 5), np.roll(b, 7), a.T)[i].ravel().copy() for i in range(arity(op))]


def source(scalar, lanes):
    """A kernel for each op, of `lanes` elements at a time."""
    ctype = CType(scalar, lanes)
    kernels = [preamble(ctype)]
    for op in ELEMENTWISE:
        names = [f"x{i}" for i in range(arity(op))]
        pointers = ", ".join(f"__global {ctype} *{name}" for name in names)
        applied = expression(op, [f"{name}[i]" for name in names], PARAMS.get(op, {}), ctype)
        kernels.append(
            f"__kernel void of_{op}(__global {ctype} *y, {pointers}){{ int i = get_global_id(0); y[i] = {applied}; }}"
        )
    return "\n".join(kernels)


def evaluated(runtime, op, scalar, lanes):
    inputs = operands(op, SCALARS[scalar])
    kernel = runtime.kernel(source(scalar, lanes), f"of_{op}")
    buffers = [runtime.memory.copied(x) for x in inputs]
    y = np.empty_like(inputs[0])
    result = runtime.buffer(y.nbytes)
    kernel.set_args(result, *buffers)
    cl.enqueue_nd_range_kernel(runtime.queue, kernel, (y.size // lanes,), (1,))
    cl.enqueue_copy(runtime.queue, y, result)
    return y


def test_every_op_has_a_meaning_here():
    assert set(MEANING) == ELEMENTWISE


@pytest.mark.parametrize("scalar", SCALARS)
@pytest.mark.parametrize("op", sorted(ELEMENTWISE))
def test_an_expression_of_numbers_and_of_vectors(pocl, op, scalar):
    dtype = SCALARS[scalar]
    inputs, params = operands(op, dtype), PARAMS.get(op, {})
    with np.errstate(all="ignore"):
        rounded = MEANING[op](*inputs, **params)
        contracted = MEANING[op](*[x.astype(np.longdouble) for x in inputs], **params).astype(dtype)
    allowed = (rounded, contracted) if op in CONTRACTED else (rounded,)
    for lanes in (1, 8):
        found = evaluated(runtime_of(pocl), op, scalar, lanes)
        good = [np.isclose(found, each, 8 * np.finfo(dtype).eps, 0, equal_nan=True) for each in allowed]
        wrong = np.flatnonzero(~np.any(good, axis=0))
        assert wrong.size == 0, (lanes, [x[wrong] for x in inputs], found[wrong], rounded[wrong])


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_literal_is_exactly_the_number(pocl, scalar):
    values = [0.0, -0.0, 1.0, -2.5, 0.1, 1 / 3, 1e-45, 5e-324, 1e300, -1e300, inf, -inf, nan]
    one, four = CType(scalar), CType(scalar, 4)
    lines = [f"y[{i}] = {one.number(value)};" for i, value in enumerate(values)]
    lines += [f"vstore4({four.number(value)}, {i}, z);" for i, value in enumerate(values)]
    pointers = f"__global {scalar} *y, __global {scalar} *z"
    text = f"{preamble(one)}__kernel void literals({pointers}) {{ {' '.join(lines)} }}"
    runtime, dtype = runtime_of(pocl), SCALARS[scalar]
    kernel = runtime.kernel(text, "literals")
    with np.errstate(over="ignore"):
        expected = [np.array(values).astype(dtype), np.repeat(values, 4).astype(dtype)]
    buffers = [runtime.buffer(each.nbytes) for each in expected]
    kernel.set_args(*buffers)
    cl.enqueue_nd_range_kernel(runtime.queue, kernel, (1,), (1,))
    for buffer, numbers in zip(buffers, expected, strict=True):
        found = np.empty_like(numbers)
        cl.enqueue_copy(runtime.queue, found, buffer)
        np.testing.assert_array_equal(found, numbers)
        assert (np.signbit(found) == np.signbit(numbers))[~np.isnan(numbers)].all()


def test_whole_numbers():
    assert (CType("int").number(3.0), CType("int", 4).number(-3)) == ("3", "(int4)((-3))")


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_source_in_float_never_mentions_double(scalar):
    text = "".join(expression(op, ["x"] * arity(op), PARAMS.get(op, {}), CType(scalar, 8)) for op in ELEMENTWISE)
    assert ("double" in preamble(CType(scalar)) + text) == (scalar == "double")
    assert bool(preamble(CType(scalar))) == (scalar == "double")


@pytest.mark.parametrize(("low", "high"), [(2.0, -1.0), (nan, 1.0), (-1.0, nan)])
def test_limits_that_no_number_is_between(matrix, low, high):
    x = np.array([[-3.0, 0.0, 3.0, nan]], np.float32)
    found = np.asarray(matrix.from_host(x, 1, 4, "float32").clip(low=low, high=high).to_host())
    np.testing.assert_array_equal(found, np.minimum(np.maximum(x, low), high))
