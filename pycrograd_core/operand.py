"""The operators that matrices and tensors share, so that a gradient rule reads the same for both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .errors import Shape
from .op import TABLE, Op, apply

_NONE: dict[str, Any] = {}


class Operand:
    """A two-dimensional value that ops apply to. `+ - * / ** @` work on operands of one kind and on Python numbers."""

    __slots__ = ()
    __array_ufunc__ = None  # `ndarray * tensor` must reach Tensor.__rmul__, not become an array of tensors

    rank: ClassVar[int]  # of the kinds among an op's inputs, the highest evaluates it
    shape: Shape
    dtype: str

    @staticmethod
    def evaluate(op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Compute `op` on inputs of this kind or lower ones."""
        raise TypeError(f"operands of this kind cannot evaluate {op.name}")

    def new_full(self, rows: int, cols: int, value: float) -> Any:
        """A value of this kind, dtype and device, filled with one number. Carries no gradient."""
        raise TypeError("operands of this kind cannot be created")

    @property
    def rows(self) -> int:
        """The number of rows: samples, for data."""
        return self.shape[0]

    @property
    def cols(self) -> int:
        """The number of columns: features, for data."""
        return self.shape[1]

    @property
    def T(self) -> Any:  # noqa: N802  the field's name
        """The transpose, cols × rows."""
        return apply(TABLE["transpose"], (self,), _NONE)

    def __add__(self, other: Any) -> Any:
        return apply(TABLE["add"], (self, other), _NONE)

    def __radd__(self, other: Any) -> Any:
        return apply(TABLE["add"], (other, self), _NONE)

    def __sub__(self, other: Any) -> Any:
        return apply(TABLE["subtract"], (self, other), _NONE)

    def __rsub__(self, other: Any) -> Any:
        return apply(TABLE["subtract"], (other, self), _NONE)

    def __mul__(self, other: Any) -> Any:
        return apply(TABLE["multiply"], (self, other), _NONE)

    def __rmul__(self, other: Any) -> Any:
        return apply(TABLE["multiply"], (other, self), _NONE)

    def __truediv__(self, other: Any) -> Any:
        return apply(TABLE["divide"], (self, other), _NONE)

    def __rtruediv__(self, other: Any) -> Any:
        return apply(TABLE["divide"], (other, self), _NONE)

    def __pow__(self, other: Any) -> Any:
        return apply(TABLE["power"], (self, other), _NONE)

    def __rpow__(self, other: Any) -> Any:
        return apply(TABLE["power"], (other, self), _NONE)

    def __matmul__(self, other: Any) -> Any:
        return apply(TABLE["matmul"], (self, other), _NONE)

    def __rmatmul__(self, other: Any) -> Any:
        return apply(TABLE["matmul"], (other, self), _NONE)

    def __neg__(self) -> Any:
        return apply(TABLE["negative"], (self,), _NONE)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return apply(TABLE["abs"], (self,), _NONE)
