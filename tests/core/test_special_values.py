"""Infinities, nan, signed zeros, overflow: what IEEE 754 says, from every backend, fused or decomposed."""

from math import copysign, inf, isnan, nan

import numpy as np
import pytest

from pycrograd_core import Tensor
from pycrograd_core.ops import TABLE
from pycrograd_core.plugins import default_backend

UNARY = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (1000.0, inf), (-1000.0, 0.0), (inf, inf), (-inf, 0.0), (nan, nan)],
    "log": [(1.0, 0.0), (0.0, -inf), (-0.0, -inf), (-1.0, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "sqrt": [(4.0, 2.0), (0.0, 0.0), (-0.0, -0.0), (-1.0, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (1000.0, 1.0), (inf, 1.0), (-inf, -1.0), (nan, nan)],
    "negative": [(2.0, -2.0), (0.0, -0.0), (-0.0, 0.0), (inf, -inf), (-inf, inf), (nan, nan)],
    "abs": [(-2.0, 2.0), (-inf, inf), (inf, inf), (nan, nan)],
    "relu": [(2.0, 2.0), (-2.0, 0.0), (inf, inf), (-inf, 0.0), (nan, nan)],
    "sigmoid": [(0.0, 0.5), (1000.0, 1.0), (-1000.0, 0.0), (inf, 1.0), (-inf, 0.0), (nan, nan)],
    "gelu": [(0.0, 0.0), (1000.0, 1000.0), (-1000.0, 0.0), (inf, inf), (nan, nan)],
}
BINARY = {
    "add": [(1.0, 2.0, 3.0), (-0.0, -0.0, -0.0), (0.0, -0.0, 0.0), (inf, 1.0, inf), (inf, -inf, nan), (nan, 1.0, nan)],
    "subtract": [(1.0, 2.0, -1.0), (-0.0, 0.0, -0.0), (0.0, inf, -inf), (inf, inf, nan), (1.0, nan, nan)],
    "multiply": [(2.0, 3.0, 6.0), (-0.0, 3.0, -0.0), (-2.0, inf, -inf), (0.0, inf, nan), (nan, 0.0, nan)],
    "divide": [
        (6.0, 3.0, 2.0), (1.0, 0.0, inf), (-1.0, 0.0, -inf), (1.0, -0.0, -inf), (-1.0, -0.0, inf), (0.0, 0.0, nan),
        (-0.0, 0.0, nan), (nan, 0.0, nan), (inf, 0.0, inf), (inf, inf, nan), (1.0, inf, 0.0), (-1.0, inf, -0.0),
        (-0.0, 5.0, -0.0),
    ],
    "power": [
        (2.0, 3.0, 8.0), (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, 0.5, nan), (4.0, 0.5, 2.0), (2.0, -1.0, 0.5),
        (0.0, 0.0, 1.0), (nan, 0.0, 1.0), (1.0, nan, 1.0), (2.0, nan, nan), (nan, 1.0, nan), (0.0, 2.0, 0.0),
        (0.0, -1.0, inf), (-0.0, -1.0, -inf), (-0.0, -2.0, inf), (10.0, 400.0, inf), (-10.0, 401.0, -inf),
        (10.0, -400.0, 0.0), (inf, -1.0, 0.0), (-inf, 3.0, -inf), (-1.0, inf, 1.0), (2.0, inf, inf), (0.5, inf, 0.0),
    ],
    "maximum": [
        (1.0, 2.0, 2.0), (2.0, 1.0, 2.0), (-3.0, -2.0, -2.0), (-inf, 1.0, 1.0), (inf, 1.0, inf),
        (nan, 1.0, nan), (1.0, nan, nan), (nan, inf, nan),
    ],
    "minimum": [(1.0, 2.0, 1.0), (2.0, 1.0, 1.0), (inf, 1.0, 1.0), (nan, 1.0, nan), (1.0, nan, nan), (-inf, nan, nan)],
    "greater": [(2.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0), (0.0, -0.0, 0.0), (inf, 1.0, 1.0),
                (inf, inf, 0.0), (1.0, -inf, 1.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "less": [(1.0, 2.0, 1.0), (1.0, 1.0, 0.0), (-0.0, 0.0, 0.0), (-inf, inf, 1.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "equal": [(1.0, 1.0, 1.0), (1.0, 2.0, 0.0), (0.0, -0.0, 1.0), (inf, inf, 1.0), (-inf, -inf, 1.0),
              (inf, -inf, 0.0), (inf, 1.0, 0.0), (nan, nan, 0.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "not_equal": [(1.0, 1.0, 0.0), (1.0, 2.0, 1.0), (0.0, -0.0, 0.0), (inf, inf, 0.0), (nan, nan, 1.0),
                  (1.0, nan, 1.0)],
    "greater_equal": [(2.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0, 0.0), (-0.0, 0.0, 1.0), (inf, inf, 1.0),
                      (nan, nan, 0.0), (nan, 1.0, 0.0)],
    "less_equal": [(2.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0, 2.0, 1.0), (-inf, -inf, 1.0), (nan, nan, 0.0),
                   (1.0, nan, 0.0)],
    "relu_gradient": [(5.0, 2.0, 5.0), (5.0, 0.0, 0.0), (5.0, -0.0, 0.0), (nan, 0.0, 0.0), (inf, -1.0, 0.0),
                      (nan, 1.0, nan), (5.0, nan, 0.0)],
}  # fmt: skip
EITHER_ZERO = {"abs", "relu", "maximum", "minimum", "gelu"}  # IEEE 754 leaves the sign of their zeros open

may_warn = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy may of sums, differences and products alone
SUMS_AND_PRODUCTS = ("add", "subtract", "multiply")


def names(table):
    return [pytest.param(name, marks=may_warn if name in SUMS_AND_PRODUCTS else ()) for name in table]


LIMITS = {"float32": np.finfo("float32"), "float64": np.finfo("float64")}
BEYOND = {  # of the dtype's greatest number and its least normal one
    "add": lambda big, tiny: [(big, big, inf), (-big, -big, -inf), (big, tiny, big)],
    "subtract": lambda big, tiny: [(-big, big, -inf), (big, big, 0.0)],
    "multiply": lambda big, tiny: [(big, 2.0, inf), (big, -big, -inf), (tiny, tiny, 0.0), (-tiny, tiny, -0.0)],
    "divide": lambda big, tiny: [(big, 0.5, inf), (-big, tiny, -inf), (tiny, big, 0.0), (big, big, 1.0)],
    "power": lambda big, tiny: [(big, 2.0, inf), (-big, 3.0, -inf), (tiny, 2.0, 0.0), (big, 1.0, big)],
    "maximum": lambda big, tiny: [(big, inf, inf), (-big, -inf, -big), (tiny, 0.0, tiny)],
    "greater": lambda big, tiny: [(inf, big, 1.0), (tiny, 0.0, 1.0), (-tiny, 0.0, 0.0), (big, -big, 1.0)],
    "equal": lambda big, tiny: [(big, inf, 0.0), (tiny, 0.0, 0.0), (big, big, 1.0)],
}  # fmt: skip


def evaluations(op, *columns, dtype, **params):
    """The values of an op by its kernel and, where it has one, by its decomposition."""
    inputs = [Tensor([list(column)], dtype=dtype).value for column in columns]
    yield default_backend().kernels[op](*inputs, **params)
    if op.decomposition is not None:
        yield op.decomposition(*inputs, **params)


def agree(found, expected, either_zero=False):
    return all(
        isnan(y) if isnan(e) else y == e and (either_zero or copysign(1, y) == copysign(1, e))
        for y, e in zip(Tensor.of(found).tolist()[0], expected, strict=True)
    )


@pytest.mark.parametrize("name", names([*UNARY, *BINARY]))
def test_elementwise(name, dtype):
    *columns, expected = zip(*(UNARY | BINARY)[name], strict=True)
    for found in evaluations(TABLE[name], *columns, dtype=dtype):
        assert agree(found, expected, name in EITHER_ZERO)


@pytest.mark.parametrize("name", names(BEYOND))
def test_overflow_and_underflow(name, dtype):
    *columns, expected = zip(*BEYOND[name](float(LIMITS[dtype].max), float(LIMITS[dtype].tiny)), strict=True)
    for found in evaluations(TABLE[name], *columns, dtype=dtype):
        assert agree(found, expected, name in EITHER_ZERO)


@may_warn
def test_a_sum_and_a_product_of_matrices_overflow(dtype):
    big = float(LIMITS[dtype].max)
    x = Tensor([[big, big]], dtype=dtype)
    assert x.sum().item() == inf
    assert (x @ x.T).item() == inf
    assert np.isnan((x - x * 2).sum().item() * 0.0)


def test_where_chooses_and_does_not_compute(dtype):
    """Neither nan nor an infinity comes through from the branch that was not chosen, nor does its gradient."""
    mask = Tensor([[1.0, 0.0, -0.0, nan, 0.5]], dtype=dtype)
    a = Tensor([[1.0, nan, inf, 4.0, 5.0]], requires_grad=True, dtype=dtype)
    b = Tensor([[nan, 2.0, 3.0, nan, inf]], requires_grad=True, dtype=dtype)
    y = TABLE["where"](mask, a, b)
    assert y.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]]
    y.backward([[inf, nan, 3.0, 4.0, 5.0]])
    assert a.grad.tolist() == [[inf, 0.0, 0.0, 4.0, 5.0]]
    assert np.array_equal(b.grad.numpy(), [[0.0, nan, 3.0, 0.0, 0.0]], equal_nan=True)


def test_clip_keeps_nan_and_limits_infinities(dtype):
    for found in evaluations(TABLE["clip"], [-inf, -1.0, 0.5, 1.0, inf, nan], dtype=dtype, low=-1.0, high=1.0):
        assert agree(found, [-1.0, -1.0, 0.5, 1.0, 1.0, nan])


REDUCTIONS = [
    ([-3.0, -2.0, -5.0], -2.0, 1),  # nothing starts at 0
    ([-inf, -inf], -inf, 0),
    ([1.0, nan, inf, nan], nan, 1),
    ([nan, 1.0], nan, 0),
    ([2.0, 7.0, 7.0], 7.0, 1),  # the first of equals
    ([0.0, -0.0], 0.0, 0),
    ([5.0], 5.0, 0),
]


@pytest.mark.parametrize(("line", "greatest", "position"), REDUCTIONS)
def test_max_min_and_argmax(line, greatest, position, dtype):
    row = Tensor([line], dtype=dtype)
    for x, axes in ((row, (1, None)), (row.T, (0, None))):
        for axis in axes:
            assert np.array_equal(x.max(axis).numpy(), [[greatest]], equal_nan=True)
            assert np.array_equal((-x).min(axis).numpy(), [[-greatest]], equal_nan=True)
            assert x.argmax(axis).tolist() == [[position]]


@may_warn
def test_sums_of_infinities(dtype):
    x = Tensor([[inf, 1.0], [inf, -inf], [nan, 0.0]], dtype=dtype)
    assert np.array_equal(x.sum(axis=1).numpy(), [[inf], [nan], [nan]], equal_nan=True)
    assert np.array_equal(x.mean(axis=1).numpy(), [[inf], [nan], [nan]], equal_nan=True)


def test_softmax_does_not_overflow(dtype):
    """Only differences matter, also far from 0; -inf is a share of nothing."""
    big = 1e30
    x = Tensor([[1000.0, 1000.0, -1000.0], [-big, -big, -big], [big, 0.0, -big], [3.0, -inf, 3.0]], dtype=dtype)
    expected = [[0.5, 0.5, 0.0], [1 / 3] * 3, [1.0, 0.0, 0.0], [0.5, 0.0, 0.5]]
    for name in ("softmax", "log_softmax"):
        for found in (default_backend().kernels[TABLE[name]](x.value), TABLE[name].decomposition(x.value)):
            shares = Tensor.of(found) if name == "softmax" else Tensor.of(found).exp()
            np.testing.assert_allclose(shares.numpy(), expected, rtol=1e-6)
    labels = Tensor([0, 1, 0, 2], dtype="int32")
    np.testing.assert_allclose(TABLE["cross_entropy"](x, labels).item(), (2 * np.log(2) + np.log(3)) / 4, rtol=1e-6)
