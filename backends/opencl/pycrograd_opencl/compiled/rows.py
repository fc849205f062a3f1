"""A row-local region as one sweep over blocks of rows: a block goes through all steps before the next is looked at.

The rows of a block are the lanes of vectors: an elementwise op is one instruction for all of them, a softmax loops over
columns, and a product multiplies each weight into a vector of rows. Between blocks there is nothing to wait for, so
each is a tile of its own; what is reduced over rows is left in parts, for a second task to combine.
"""

from __future__ import annotations

from collections.abc import Sequence

from pycrograd_core.capture.program import WIDTHS, Step, Value
from pycrograd_core.op import INDEX_DTYPE

from ..c_types import SCALARS, CType
from ..expressions import expression
from .code import IN_TURN, Code
from .layout import Rows, into_lanes, into_rows
from .places import pointer
from .task import Span, Task, spans

ALIGNED = 64
COMBINE = {"sum": "add", "mean": "add", "max": "maximum", "min": "minimum"}
NEUTRAL = {"sum": 0.0, "mean": 0.0, "max": float("-inf"), "min": float("inf")}


class Sweep:
    """The code of one region.

    A value with a row for each row of the region is "in lanes": its block is columns × lanes. All such memory is in
    the arena, from `scratch` on: a piece for each block, then the parts of what is reduced over rows.
    """

    def __init__(self, code: Code, steps: Sequence[Step], rows: int, outputs: Sequence[Value], scratch: int) -> None:
        self.code = code
        self.rows = rows
        self.dtype = dtype_of(steps)
        self.lanes = code.width(self.dtype)
        self.ctype = CType.of(self.dtype, self.lanes)
        self.scalar = self.ctype.scalar
        self.blocks = -(-rows // self.lanes)
        self.outputs = dict.fromkeys(outputs)
        self.lines: list[str] = []
        self._scratch = scratch
        self._block_size = 0
        self._part_size = 0
        self._finishing: list[str] = []
        self._reduced: list[Value] = []
        self._inside = {value for step in steps for value in step.outputs}
        self._reads: dict[Value, None] = {}
        self._pointers: dict[Value, str] = {}
        self._pieces: dict[Value, tuple[int, int]] = {}  # of values in scratch memory: size, start
        self._free: list[tuple[int, int]] = []
        self._last = {v: position for position, step in enumerate(steps) for v in (*step.inputs, *step.outputs)}

    def settle(self, step: Step, position: int) -> None:
        """After a step: write what is read outside, and give back the memory of what is not read again."""
        for value in step.outputs:
            self._export(value)
        for value in [value for value in self._pieces if self._last[value] <= position]:
            self._free.append(self._pieces.pop(value))
            del self._pointers[value]

    @property
    def size(self) -> int:
        """The bytes of scratch memory."""
        return self._block_size * self.blocks + self._part_size

    def tasks(self) -> list[Task]:
        """The sweep, and what is left to do when all blocks are done."""
        places = self.code.places
        parts = self._scratch + self._block_size * self.blocks
        header = [f"const int first = t * {self.lanes};"]
        if self._block_size:
            header.append(f"__global uchar* const lanes = arena + {self._scratch} + (size_t)t * {self._block_size};")
        own: tuple[Span, ...] = (("arena", self._scratch, self._scratch + self.size),) if self.size else ()
        if self._finishing:
            header.append(f"__global uchar* const parts = arena + {parts};")
        combined = self._reduced if self._finishing else []
        direct = [places[value] for value in self.outputs if value not in combined]
        reads = spans([places[value] for value in self._reads])
        tasks = [Task(self.blocks, "\n".join([*header, *self.lines]), (*reads, *own), (*spans(direct), *own))]
        if self._finishing:
            body = "\n".join([f"__global uchar* const parts = arena + {parts};", *self._finishing])
            tasks.append(Task(1, body, own, spans([places[value] for value in combined])))
        return tasks

    def say(self, *lines: str) -> None:
        """Add lines."""
        self.lines += lines

    # Memory --------------------------------------------------------------------------------------------------------

    def new(self, value: Value) -> str:
        """Memory in lanes for a value: the name of a pointer to it."""
        place, extent = self.code.places.get(value), value.shape[1] * self.lanes
        if value in self.outputs and place is not None and place.block == self.lanes:
            return self._named(value, f"{place.text} + (size_t)t * {extent}")
        size = max(-(-extent * WIDTHS[value.dtype] // ALIGNED) * ALIGNED, ALIGNED)
        piece = min((piece for piece in self._free if size <= piece[0] <= 2 * size), default=None)
        if piece is None:
            piece = (size, self._block_size)
            self._block_size += size
        else:
            self._free.remove(piece)
        self._pieces[value] = piece
        return self._named(value, pointer("lanes", piece[1], SCALARS[value.dtype]))

    def _named(self, value: Value, text: str) -> str:
        name = self._pointers[value] = f"l{len(self.lines)}"
        self.say(f"__global {SCALARS[value.dtype]}* const {name} = {text};")
        return name

    def lane(self, value: Value) -> str:
        """The pointer to a value in lanes. One from outside is turned when it is first asked for."""
        if value in self._pointers:
            return self._pointers[value]
        source, place = self.whole(value), self.code.places.get(value)
        if place is not None and place.block == self.lanes:
            return self._named(value, f"{source} + (size_t)t * {value.shape[1] * self.lanes}")
        name = self.new(value)
        turn = into_lanes(self.code.functions, SCALARS[value.dtype], self.lanes, Rows.FOLLOWING)
        self.say(f"{turn}({name}, {source}, {value.shape[1]}, first, {self.rows});")
        return name

    def whole(self, value: Value) -> str:
        """The pointer to a value that comes from outside."""
        self._reads[value] = None
        return self.code.places[value].text

    def _export(self, value: Value) -> None:
        """Write what is read outside to where it is read."""
        if value not in self.outputs or value in self._reduced or self.code.places[value].block == self.lanes:
            return
        turn = into_rows(self.code.functions, SCALARS[value.dtype], self.lanes)
        target = self.code.places[value].text
        self.say(f"{turn}({target}, {self._pointers[value]}, {value.shape[1]}, first, {self.rows});")

    # Operands ------------------------------------------------------------------------------------------------------

    def is_local(self, value: Value) -> bool:
        """Whether a value has a row for each row of the region."""
        return value in self._inside or value.shape[0] == self.rows

    def prepare(self, values: Sequence[Value]) -> None:
        """Have values in lanes where they need to be, before a loop begins."""
        for value in values:
            if value not in self.code.numbers and self.is_local(value):
                self.lane(value)

    def operand(self, value: Value, column: str) -> str:
        """A prepared value at a column, as a vector."""
        if value in self.code.numbers:
            return self.ctype.number(self.code.numbers[value])
        at = column if value.shape[1] > 1 else "0"
        if self.is_local(value):
            return f"({self.ctype.load(f'{self.lane(value)} + ({at}) * {self.lanes}')})"
        return self.ctype.splat(f"{self.whole(value)}[{at}]")

    # Reductions over rows ------------------------------------------------------------------------------------------

    def reduction(self, value: Value, kind: str, total: str, column: str, scale: float) -> list[str]:
        """Lines that reduce a vector over all rows, into a column of a value: the part of this block for now."""
        columns = value.shape[1]
        if value not in self._reduced:
            self._reduced.append(value)
            if self.blocks > 1:
                self._finish(value, kind, scale)
        part = f"{self.across(kind)}({self._masked(total, kind)})"
        factor = f" * {CType(self.scalar).number(scale)}" if scale != 1.0 else ""
        if self.blocks == 1:
            return [f"{self.code.places[value].text}[{column}] = {part}{factor};"]
        return [f"{self._part(value)}[(size_t)t * {columns} + {column}] = {part};"]

    def _part(self, value: Value) -> str:
        before = self._reduced[: self._reduced.index(value)]
        offset = sum(self._part_bytes(each) for each in before)
        return pointer("parts", offset, self.scalar)

    def _part_bytes(self, value: Value) -> int:
        return -(-self.blocks * value.shape[1] * WIDTHS[self.dtype] // ALIGNED) * ALIGNED

    def _finish(self, value: Value, kind: str, scale: float) -> None:
        """The lines that combine the parts of all blocks."""
        self._part_size += self._part_bytes(value)
        columns, part, single = value.shape[1], self._part(value), CType(self.scalar)
        both = expression(COMBINE[kind], ["total", f"{part}[b * {columns} + c]"], {}, single)
        turn = expression(COMBINE[kind], ["whole", "total"], {}, single)
        neutral = single.number(NEUTRAL[kind])
        factor = f" * {single.number(scale)}" if scale != 1.0 else ""
        self._finishing += [
            f"for (int c = 0; c < {columns}; c++) {{",
            f"{self.scalar} whole = {neutral};",
            f"for (size_t begin = 0; begin < {self.blocks}; begin += {IN_TURN}) {{",
            f"{self.scalar} total = {neutral};",
            f"for (size_t b = begin; b < min(begin + {IN_TURN}, (size_t){self.blocks}); b++) total = {both};",
            f"whole = {turn};",
            "}",
            f"{self.code.places[value].text}[c] = whole{factor};",
            "}",
        ]

    def _masked(self, total: str, kind: str) -> str:
        """A vector without what the lanes beyond the last row hold."""
        if self.lanes == 1 or self.rows % self.lanes == 0:
            return total
        mask = CType("long" if self.dtype == "float64" else "int", self.lanes)
        numbers = ", ".join(map(str, range(self.lanes)))
        held = f"({mask})({numbers}) < ({mask})({self.rows} - first)"
        return f"({held} ? {total} : {self.ctype.number(NEUTRAL[kind])})"

    def across(self, kind: str) -> str:
        """The name of a function that combines the lanes of a vector."""
        lines, name, lanes = [], "v", self.lanes
        while lanes > 1:
            lanes //= 2
            half = CType(self.scalar, lanes)
            both = expression(COMBINE[kind], [f"{name}.lo", f"{name}.hi"], {}, half)
            lines.append(f"const {half} v{lanes} = {both};")
            name = f"v{lanes}"
        lines.append(f"return {name};")
        return self.code.functions.name("across", f"const {self.ctype} v", "\n".join(lines), self.scalar)


def dtype_of(steps: Sequence[Step]) -> str:
    """The dtype that steps compute in."""
    values = (value for step in steps for value in (*step.inputs, *step.outputs))
    return next((value.dtype for value in values if value.dtype != INDEX_DTYPE), "float32")
