"""Every kernel of the contract the slow way: copied to the host, computed there by NumPy in float64, copied back.

A backend that is being written starts from this. `from_host`, `to_host` and `assign` are its own from the first line;
every other kernel works already, and is replaced by a faster one when its time comes. No other code uses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .matrix import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

M = TypeVar("M", bound="HostKernels")
_COMPUTED_IN = {"float32": np.float64, "float64": np.float64, "int32": np.int32}


class HostKernels(Matrix):
    """A matrix whose kernels go through the host. Subclass it, write three methods, and you have a backend."""

    __slots__ = ()

    def _host(self) -> NDArray[Any]:
        values = np.frombuffer(self.to_host(), self.dtype).reshape(self.shape)
        return values.astype(_COMPUTED_IN[self.dtype], copy=False)

    @np.errstate(all="ignore")  # IEEE 754 says what comes out
    def _computed(self: M, formula: Callable[..., Any], *others: M, dtype: str | None = None) -> M:
        """A matrix of what a formula gives of these operands: floats as float64, indices as they are."""
        dtype = dtype or self.dtype
        values = np.ascontiguousarray(formula(self._host(), *[x._host() for x in others]), dtype)  # noqa: SLF001
        rows, cols = values.shape
        return type(self).from_host(values, rows, cols, dtype)

    @classmethod
    def full(cls: type[M], rows: int, cols: int, value: float, dtype: str) -> M:
        return cls.from_host(np.full((rows, cols), value, dtype), rows, cols, dtype)

    # Elementwise ---------------------------------------------------------------------------------------------------

    def exp(self: M, *, out: M | None = None) -> M:
        return self._computed(np.exp)

    def log(self: M, *, out: M | None = None) -> M:
        return self._computed(np.log)

    def sqrt(self: M, *, out: M | None = None) -> M:
        return self._computed(np.sqrt)

    def tanh(self: M, *, out: M | None = None) -> M:
        return self._computed(np.tanh)

    def add(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a + b, other)

    def subtract(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a - b, other)

    def multiply(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a * b, other)

    def divide(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a / b, other)

    def power(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a**b, other)

    def maximum(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(np.maximum, other)

    def greater(self: M, other: M, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: a > b, other)

    def where(self: M, a: M, b: M, *, out: M | None = None) -> M:
        return self._computed(lambda mask, a, b: np.where(mask != 0, a, b), a, b)

    # Reductions ----------------------------------------------------------------------------------------------------

    def sum(self: M, axis: int | None = None, *, out: M | None = None) -> M:
        return self._computed(lambda x: x.sum(axis=axis, keepdims=True))

    def max(self: M, axis: int | None = None, *, out: M | None = None) -> M:
        return self._computed(lambda x: x.max(axis=axis, keepdims=True))

    def argmax(self: M, axis: int | None = None) -> M:
        return self._computed(lambda x: x.argmax(axis=axis, keepdims=True), dtype="int32")

    # Linear algebra ------------------------------------------------------------------------------------------------

    def matmul(self: M, other: M, transpose_a: bool = False, transpose_b: bool = False, *, out: M | None = None) -> M:
        return self._computed(lambda a, b: (a.T if transpose_a else a) @ (b.T if transpose_b else b), other)

    # Layout --------------------------------------------------------------------------------------------------------

    def transpose(self: M) -> M:
        return self._computed(lambda x: x.T)

    def reshape(self: M, rows: int, cols: int) -> M:
        return self._computed(lambda x: x.reshape(rows, cols))

    def slice(self: M, row_start: int, row_stop: int, col_start: int, col_stop: int) -> M:
        return self._computed(lambda x: x[row_start:row_stop, col_start:col_stop])

    def concat(self: M, *others: M, axis: int) -> M:
        return self._computed(lambda *parts: np.concatenate(parts, axis), *others)

    def take_rows(self: M, indices: M, *, out: M | None = None) -> M:
        return self._computed(lambda x, rows: x[rows[:, 0]], indices)

    def add_rows(self: M, indices: M, updates: M, *, out: M | None = None) -> M:
        def added(x: Any, rows: Any, updates: Any) -> Any:
            total = x.copy()
            np.add.at(total, rows[:, 0], updates)
            return total

        return self._computed(added, indices, updates)

    # Control -------------------------------------------------------------------------------------------------------

    @classmethod
    def synchronize(cls) -> None:
        """What goes through the host is done when it returns."""
