"""A parameter's gradient in registers: xᵀ g, or the sum of g's rows, a tile at a time."""

from __future__ import annotations

from collections.abc import Callable

from pycrograd_core.capture.program import WIDTHS, Instruction, Value

from ..c_types import CType
from .code import IN_TURN

FAR = 1024  # bytes from a row to the next: so far apart, rows share cache sets, and a column of them is copied
HIGH = 48  # rows of a tile at least, where such a copy is made for it
COPIED = 1 << 13  # bytes of a copy at most


class Gradient:
    """The code that sums elements (r, n), (r + 1, n) … of the gradient, each with those after it in a vector.

    `terms` of them are summed for each element. `block` is the rows of a block of x if it is stored in blocks, else 0.
    `name` says by which name a value's memory goes. The code is for where `columns`, `summed` (the terms) and, if there
    are blocks, `extent` (the columns of x) are known by name.
    """

    def __init__(self, step: Instruction, block: int, name: Callable[[Value], str]) -> None:
        self.output = step.output
        self.terms, self.extent = step.inputs[0].shape
        self.block = block
        self._step = step
        self._name = name

    def copies(self, kind: CType) -> bool:
        """Whether columns of g are copied before tiles are made of them."""
        rows, columns = self.output.shape
        if self._step.op.name != "matmul" or rows < HIGH:
            return False
        size = WIDTHS[self.output.dtype]
        return columns * size >= FAR and self.terms * kind.lanes * size <= COPIED

    def least_rows(self, kind: CType) -> int:
        """How many rows a tile has at least, so that a copy is worth it."""
        return HIGH if self.copies(kind) else 1

    def copy(self, kind: CType) -> list[str]:
        """Lines that copy a vector of columns, if that is worth it."""
        if not self.copies(kind):
            return []
        column = self._row(self._step.inputs[1], kind)
        return [f"{kind} panel[{self.terms}];", f"for (int b = 0; b < summed; b++) panel[b] = {column};"]

    def summed(self, height: int, kind: CType) -> list[str]:
        """Lines that leave the sums of so many rows in `a0`, `a1` …"""
        zeros = [f"{kind} a{i} = {kind.number(0.0)};" for i in range(height)]
        terms = self._products(height, kind) if self._step.op.name == "matmul" else self._rows(kind)
        return zeros + _in_parts(self.terms, terms, height, kind)

    def _row(self, g: Value, kind: CType) -> str:
        """Row `b` of g, from column `n` on."""
        return kind.load(f"{self._name(g)} + (size_t)b * columns + n")

    def _rows(self, kind: CType) -> list[str]:
        """The loop that adds rows `from` … `to` of g."""
        return [f"for (int b = from; b < to; b++) a0 += {self._row(self._step.inputs[0], kind)};"]

    def _products(self, height: int, kind: CType) -> list[str]:
        """The loop that adds products of rows `from` … `to` of x and g."""
        x, g = self._step.inputs
        first = f"__global const {kind.scalar}* x = {self._name(x)}"
        loads = f"const {kind} v = {'panel[b]' if self.copies(kind) else self._row(g, kind)};"
        if self.block:
            x_of_row = [f"x[{i * self.block} + i]" for i in range(height)]
            before = [
                f"for (int begun = from; begun < to; begun += {self.block}) {{",
                f"{first} + (size_t)begun * extent + (size_t)r * {self.block};",
                f"for (int i = 0; i < {self.block}; i++) {{ const int b = begun + i;",
            ]
            after = ["}", "}"]
        else:
            x_of_row = [f"x[{i}]" for i in range(height)]
            before = [f"{first} + (size_t)from * {self.extent} + r;", "for (int b = from; b < to; b++) {"]
            after = [f"x += {self.extent};", "}"]
        added = [f"a{i} = fma({kind.splat(factor)}, v, a{i});" for i, factor in enumerate(x_of_row)]
        return [*before, loads, *added, *after]


def _in_parts(terms: int, lines: list[str], height: int, kind: CType) -> list[str]:
    """Lines that add the terms `from` … `to` to the sums, for all terms: if they are many, part by part."""
    if terms <= IN_TURN:
        return ["{ const int from = 0, to = summed;", *lines, "}"]
    zero = kind.number(0.0)
    return [
        *[f"{kind} whole{i} = {zero};" for i in range(height)],
        f"for (int from = 0; from < summed; from += {IN_TURN}) {{",
        f"const int to = min(from + {IN_TURN}, summed);",
        *lines,
        *[f"whole{i} += a{i}; a{i} = {zero};" for i in range(height)],
        "}",
        *[f"a{i} = whole{i};" for i in range(height)],
    ]
