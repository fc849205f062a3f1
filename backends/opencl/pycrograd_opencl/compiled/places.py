"""Where the values of a program are while its kernels run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pycrograd_core.capture.program import WIDTHS, Value

from ..c_types import SCALARS


@dataclass(frozen=True, slots=True)
class Place:
    """A value's memory: bytes of one parameter of the kernels, row-major.

    In a loop of steps it begins `stride` bytes later in each; if there is room for `turn` steps only, then again at the
    first byte. `block` is not 0 where the rows are stored in blocks of
    so many, each block column by column: what a sweep over rows leaves for the products that follow.
    """

    value: Value
    base: str
    offset: int = 0
    stride: int = 0
    block: int = 0
    turn: int = 0

    @property
    def scalar(self) -> str:
        """The type of an element."""
        return SCALARS[self.value.dtype]

    @property
    def text(self) -> str:
        """A pointer to the first element."""
        return pointer(self.base, self.offset, self.scalar, self.stride, self.turn)

    @property
    def name(self) -> str:
        """What the value's own buffer is called: one that is a part of another goes by where it begins."""
        return f"{self.base}+{self.offset}" if self.offset or self.base.startswith("h") else self.base

    @property
    def span(self) -> tuple[str, int, int]:
        """The memory in all steps: parameter, first byte, and the byte after the last."""
        if self.stride:
            return self.base, 0, 1 << 62
        return self.base, self.offset, self.offset + self.value.size * WIDTHS[self.value.dtype]


def pointer(base: str, offset: int, scalar: str, stride: int = 0, turn: int = 0) -> str:
    """A pointer into a parameter."""
    step = f"(step % {turn})" if turn else "step"
    moved = base + (f" + {offset}" if offset else "") + (f" + (size_t){step} * {stride}" if stride else "")
    return f"((__global {scalar}*)({moved}))"


def meet(one: Iterable[tuple[str, int, int]], other: Iterable[tuple[str, int, int]]) -> bool:
    """Whether any two pieces of memory have a byte in common."""
    others = list(other)
    return any(a == b and start < end and begin < stop for a, start, stop in one for b, begin, end in others)
