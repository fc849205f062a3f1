"""The kernels, each the NumPy call of the same name, and the derived ops that are worth fewer passes over memory.

IEEE 754 decides what overflow and division by zero give. The kernels where that is common say so to NumPy; entering
`errstate` costs as much as a small product, so the others leave NumPy's warning for a sum or product that overflows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pycrograd_core.matrix import HostBuffer, Matrix

Array = NDArray[Any]

_LONG = 4096  # elements of a sum
_BLOCK = 1 << 15  # elements of a block that stays in the cache while several passes work on it


def _unary(ufunc: Callable[..., Array], ieee: bool = False) -> Callable[..., NumPyMatrix]:
    """A kernel from a ufunc of one array; `ieee` where infinities and nan are ordinary results."""

    def kernel(self: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        if out is None:
            return NumPyMatrix(ufunc(self.array), self.dtype)
        ufunc(self.array, out=out.array)
        return out

    return _quiet(kernel) if ieee else kernel


def _binary(ufunc: Callable[..., Array], ieee: bool = False) -> Callable[..., NumPyMatrix]:
    """A kernel from a ufunc of two arrays."""

    def kernel(self: NumPyMatrix, other: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        if out is None:
            return NumPyMatrix(ufunc(self.array, other.array), self.dtype)
        ufunc(self.array, other.array, out=out.array)
        return out

    return _quiet(kernel) if ieee else kernel


def _quiet(kernel: Callable[..., NumPyMatrix]) -> Callable[..., NumPyMatrix]:
    def quiet(*operands: NumPyMatrix, out: NumPyMatrix | None = None) -> NumPyMatrix:
        with np.errstate(all="ignore"):
            return kernel(*operands, out=out)

    return quiet


def _comparison(ufunc: Callable[..., Array]) -> Callable[..., NumPyMatrix]:
    """A kernel that gives 1 and 0 in the operands' dtype."""

    def kernel(self: NumPyMatrix, other: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        return NumPyMatrix(ufunc(self.array, other.array).astype(self.dtype), self.dtype)

    return kernel


class NumPyMatrix(Matrix):
    """A C-contiguous NumPy array of two dimensions."""

    __slots__ = ("array",)

    device = "cpu"
    capabilities = frozenset({"float64", "host_memory", "deterministic"})
    compiled_ops = frozenset({
        "abs", "accumulate", "adam_update", "broadcast_to", "clip", "count_correct", "cross_entropy",
        "cross_entropy_gradient", "dropout", "equal", "greater_equal", "less", "less_equal", "log_softmax", "minimum",
        "negative", "not_equal", "one_hot", "relu", "relu_gradient", "sgd_update", "sigmoid", "softmax",
    })  # fmt: skip

    def __init__(self, array: Array, dtype: str) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = dtype
        self.limits = None
        self.written = 0

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> NumPyMatrix:
        return cls(np.frombuffer(buffer, dtype).reshape(rows, cols).copy(), dtype)

    @classmethod
    def from_owned(cls, array: Array, rows: int, cols: int, dtype: str) -> NumPyMatrix:
        return cls(array, dtype)

    def to_host(self) -> HostBuffer:
        return self.array.data

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> NumPyMatrix:
        return cls(np.full((rows, cols), value, dtype), dtype)

    exp = _unary(np.exp, ieee=True)
    log = _unary(np.log, ieee=True)
    sqrt = _unary(np.sqrt, ieee=True)
    tanh = _unary(np.tanh)
    add = _binary(np.add)
    subtract = _binary(np.subtract)
    multiply = _binary(np.multiply)
    divide = _binary(np.divide, ieee=True)
    power = _binary(np.power, ieee=True)
    maximum = _binary(np.maximum)
    greater = _comparison(np.greater)

    def where(self, a: NumPyMatrix, b: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        return NumPyMatrix(np.where(self.array != 0, a.array, b.array), self.dtype)

    def sum(self, axis: int | None = None, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        if axis is not None and out is None:
            return NumPyMatrix(_total(self.array, axis), self.dtype)
        return _reduced(np.add, self, axis, out)

    def max(self, axis: int | None = None, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        return _reduced(np.maximum, self, axis, out)

    def argmax(self, axis: int | None = None) -> NumPyMatrix:
        positions = np.argmax(self.array, axis=axis, keepdims=True).astype(np.int32)
        return NumPyMatrix(positions, "int32")

    def matmul(
        self,
        other: NumPyMatrix,
        transpose_a: bool = False,
        transpose_b: bool = False,
        *,
        out: NumPyMatrix | None = None,
    ) -> NumPyMatrix:
        # np.dot: for two dimensions the same BLAS call as np.matmul, with less on the way to it
        a = self.array.T if transpose_a else self.array
        b = other.array.T if transpose_b else other.array
        if out is None:
            return NumPyMatrix(np.dot(a, b), self.dtype)
        np.dot(a, b, out=out.array)
        return out

    def transpose(self) -> NumPyMatrix:
        return NumPyMatrix(self.array.T.copy(), self.dtype)

    def reshape(self, rows: int, cols: int) -> NumPyMatrix:
        return NumPyMatrix(self.array.reshape(rows, cols).copy(), self.dtype)

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> NumPyMatrix:
        return NumPyMatrix(self.array[row_start:row_stop, col_start:col_stop].copy(), self.dtype)

    def concat(self, *others: NumPyMatrix, axis: int) -> NumPyMatrix:
        return NumPyMatrix(np.concatenate([self.array, *[other.array for other in others]], axis=axis), self.dtype)

    def take_rows(self, indices: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        return NumPyMatrix(self.array.take(indices.array[:, 0], axis=0), self.dtype)

    def add_rows(self, indices: NumPyMatrix, updates: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        result = self if out is self else NumPyMatrix(self.array.copy(), self.dtype)
        np.add.at(result.array, indices.array[:, 0], updates.array)
        return result

    def assign(self, source: NumPyMatrix) -> None:
        np.copyto(self.array, source.array)

    @classmethod
    def synchronize(cls) -> None:
        """NumPy's calls return when they are done."""

    @classmethod
    def compile(cls, program: Any) -> Callable[..., Sequence[NumPyMatrix]]:
        from .compiled import compiled

        return compiled(program)

    # Derived ops ---------------------------------------------------------------------------------------------------

    negative = _unary(np.negative)
    abs = _unary(np.absolute)
    minimum = _binary(np.minimum)
    less = _comparison(np.less)
    equal = _comparison(np.equal)
    not_equal = _comparison(np.not_equal)
    greater_equal = _comparison(np.greater_equal)
    less_equal = _comparison(np.less_equal)

    def relu(self, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        if out is None:
            return NumPyMatrix(np.maximum(self.array, 0), self.dtype)
        np.maximum(self.array, 0, out=out.array)
        return out

    def relu_gradient(self, y: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        return NumPyMatrix(np.where(y.array > 0, self.array, self.array.dtype.type(0)), self.dtype)

    def linear(self, weight: NumPyMatrix, bias: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        y = np.dot(self.array, weight.array, out=None if out is None else out.array)
        y += bias.array
        return out or NumPyMatrix(y, self.dtype)

    def broadcast_to(self, rows: int, cols: int, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        array = np.empty((rows, cols), self.dtype)
        array[:] = self.array
        return NumPyMatrix(array, self.dtype)

    def softmax(self, axis: int = 1, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        e = _exponentials(self.array, axis)[1]
        e /= _total(e, axis)
        return NumPyMatrix(e, self.dtype)

    def log_softmax(self, axis: int = 1, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        z, e = _exponentials(self.array, axis)
        z -= np.log(_total(e, axis))
        return NumPyMatrix(z, self.dtype)

    def cross_entropy(self, labels: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        z, e = _exponentials(self.array, 1)
        losses = np.log(_total(e, 1))
        losses -= z.take(_flat(labels, z))
        return NumPyMatrix(_total(losses, 0) / len(z), self.dtype)

    def cross_entropy_gradient(
        self, logits: NumPyMatrix, labels: NumPyMatrix, *, out: NumPyMatrix | None = None
    ) -> NumPyMatrix:
        e = _exponentials(logits.array, 1)[1]
        e /= _total(e, 1)
        e.reshape(-1)[_flat(labels, e)] -= 1
        e *= self.array / len(e)
        return NumPyMatrix(e, self.dtype)

    def one_hot(self, classes: int, dtype: str = "float32", *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        hot = np.zeros((len(self.array), classes), dtype)
        hot[np.arange(len(hot)), self.array[:, 0]] = 1
        return NumPyMatrix(hot, dtype)

    def count_correct(self, labels: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        hits = np.count_nonzero(self.array.argmax(axis=1) == labels.array[:, 0])
        return NumPyMatrix(np.full((1, 1), hits, self.dtype), self.dtype)

    def sgd_update(self, g: NumPyMatrix, rate: NumPyMatrix, *, out: NumPyMatrix | None = None) -> NumPyMatrix:
        if self.array.size <= _BLOCK:
            return self.subtract(NumPyMatrix(g.array * rate.array, self.dtype), out=out)
        result = out or NumPyMatrix(np.empty_like(self.array), self.dtype)
        for target, w, gradient in _blocks(result, self, g):
            np.subtract(w, gradient * rate.array[0], out=target)
        return result

    def accumulate(
        self, new: NumPyMatrix, decay: float, weight: float, *, out: NumPyMatrix | None = None
    ) -> NumPyMatrix:
        result = out or NumPyMatrix(np.empty_like(self.array), self.dtype)
        for target, old, addend in _blocks(result, self, new):
            scaled = addend * addend.dtype.type(weight)
            np.multiply(old, old.dtype.type(decay), out=target)
            target += scaled
        return result


def _reduced(ufunc: np.ufunc, x: NumPyMatrix, axis: int | None, out: NumPyMatrix | None) -> NumPyMatrix:
    if out is None:
        return NumPyMatrix(ufunc.reduce(x.array, axis=axis, keepdims=True), x.dtype)
    ufunc.reduce(x.array, axis=axis, keepdims=True, out=out.array)
    return out


def _total(x: Array, axis: int) -> Array:
    """The sums along an axis: of the extents of a network by a product with ones, in half the time of `np.add.reduce`.

    Over more elements than that float32 would lose digits, so they are summed in float64.
    """
    extent = x.shape[axis]
    if extent > _LONG:
        long: Array = np.add.reduce(x, axis=axis, keepdims=True, dtype=np.float64)
        return long.astype(x.dtype)
    ones = _ones(extent, x.dtype)
    total: Array = np.dot(ones.reshape(1, -1), x) if axis == 0 else np.dot(x, ones.reshape(-1, 1))
    return total


@lru_cache(maxsize=64)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    return np.ones(count, dtype)


def _flat(labels: NumPyMatrix, x: Array) -> Array:
    """Where each row's label stands in the flat matrix, n × 1."""
    return labels.array + _row_starts(*x.shape)


@lru_cache(maxsize=16)
def _row_starts(rows: int, cols: int) -> Array:
    return np.arange(0, rows * cols, cols).reshape(-1, 1)


def _exponentials(x: Array, axis: int) -> tuple[Array, Array]:
    """x less its greatest, so that nothing overflows, and the exponentials of that."""
    z = x - np.maximum.reduce(x, axis=axis, keepdims=True)
    return z, np.exp(z)


def _blocks(*matrices: NumPyMatrix) -> Any:
    """Equal parts of matrices of one shape, small enough that intermediate results stay in the cache."""
    size = matrices[0].array.size
    if size <= _BLOCK:
        return ([matrix.array for matrix in matrices],)
    flat = [matrix.array.reshape(-1) for matrix in matrices]
    return ([each[start : start + _BLOCK] for each in flat] for start in range(0, size, _BLOCK))
