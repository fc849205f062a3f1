"""Ops as methods and operators of tensors. Comparisons give masks, element by element."""

from __future__ import annotations

import operator
from typing import Any, Self

from . import ops
from .errors import DataError, IndexRangeError
from .operand import Operand


class Methods(Operand):
    """What `x.relu()`, `x > 0` and `x[a:b]` mean: the ops of the same names, on this operand."""

    __slots__ = ()

    def __eq__(self, other: object) -> Self:  # type: ignore[override]
        return ops.equal(self, other) if _comparable(other) else NotImplemented

    def __ne__(self, other: object) -> Self:  # type: ignore[override]
        return ops.not_equal(self, other) if _comparable(other) else NotImplemented

    __hash__ = object.__hash__  # by identity: two tensors of equal contents are two keys

    def __gt__(self, other: Any) -> Self:
        return ops.greater(self, other)

    def __lt__(self, other: Any) -> Self:
        return ops.less(self, other)

    def __ge__(self, other: Any) -> Self:
        return ops.greater_equal(self, other)

    def __le__(self, other: Any) -> Self:
        return ops.less_equal(self, other)

    def __getitem__(self, key: Any) -> Self:
        """A block: `t[a:b]`, `t[a:b, c:d]`, `t[row]`, `t[row, col]`. Always two-dimensional."""
        rows, cols = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        row_start, row_stop = _bounds(rows, self.rows, "row")
        col_start, col_stop = _bounds(cols, self.cols, "column")
        block = {"row_start": row_start, "row_stop": row_stop, "col_start": col_start, "col_stop": col_stop}
        return ops.slice(self, **block)

    def sum(self, axis: int | None = None) -> Self:
        """The sum over rows (axis 0), columns (axis 1) or all."""
        return ops.sum(self, axis=axis)

    def mean(self, axis: int | None = None) -> Self:
        """The mean over rows (axis 0), columns (axis 1) or all."""
        return ops.mean(self, axis=axis)

    def max(self, axis: int | None = None) -> Self:
        """The greatest element over rows (axis 0), columns (axis 1) or all."""
        return ops.max(self, axis=axis)

    def min(self, axis: int | None = None) -> Self:
        """The least element over rows (axis 0), columns (axis 1) or all."""
        return ops.min(self, axis=axis)

    def argmax(self, axis: int | None = None) -> Self:
        """The int32 position of the first greatest element over rows (axis 0), columns (axis 1) or all."""
        return ops.argmax(self, axis=axis)

    def exp(self) -> Self:
        """e to the power of each element."""
        return ops.exp(self)

    def log(self) -> Self:
        """Natural logarithm."""
        return ops.log(self)

    def sqrt(self) -> Self:
        """Square root."""
        return ops.sqrt(self)

    def tanh(self) -> Self:
        """Hyperbolic tangent."""
        return ops.tanh(self)

    def sigmoid(self) -> Self:
        """1 / (1 + e⁻ˣ)."""
        return ops.sigmoid(self)

    def relu(self) -> Self:
        """max(x, 0)."""
        return ops.relu(self)

    def gelu(self) -> Self:
        """Gaussian error linear unit, tanh form."""
        return ops.gelu(self)

    def abs(self) -> Self:
        """Absolute value."""
        return ops.abs(self)

    def clip(self, low: float, high: float) -> Self:
        """Limited to low … high."""
        return ops.clip(self, low=low, high=high)

    def softmax(self, axis: int = 1) -> Self:
        """Softmax along each row (axis 1) or down each column (axis 0)."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = 1) -> Self:
        """The logarithm of softmax."""
        return ops.log_softmax(self, axis=axis)

    def reshape(self, rows: int, cols: int) -> Self:
        """The same elements in row-major order as rows × cols."""
        return ops.reshape(self, rows=rows, cols=cols)

    def take_rows(self, indices: Any) -> Self:
        """Row indices[i] as row i; indices are int32, a tensor or host data."""
        return ops.take_rows(self, indices)


def _comparable(other: object) -> bool:
    """Whether a value can be compared element by element: None and text are simply not equal to a tensor."""
    return other is not None and not isinstance(other, str | bytes)


def _bounds(key: Any, extent: int, what: str) -> tuple[int, int]:
    """Start and stop of an index or a slice, as Python counts them."""
    if isinstance(key, slice):
        start, stop, step = key.indices(extent)
        if step != 1:
            raise DataError(f"a slice of {what}s must have step 1; take_rows() takes rows in any order")
        return start, max(start, stop)
    try:
        position = operator.index(key)
    except TypeError:
        raise DataError(
            f"a {what} is selected by a number or a slice, not {type(key).__name__}: see take_rows()"
        ) from None
    if not -extent <= position < extent:
        raise IndexRangeError(f"{what} {position} is outside a tensor of {extent} {what}s")
    start = position % extent
    return start, start + 1
