"""Updates: a parameter's gradient and what the optimiser makes of it, in one pass over the parameter.

The gradient xᵀ g is summed in registers, tile by tile, and goes from there into the weights: it is never in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pycrograd_core.capture.program import WIDTHS, Instruction, Region, Value

from ..c_types import CType
from ..expressions import ELEMENTWISE
from .code import IN_TURN, Code, chained
from .task import Task, spans

ELEMENTS = 1 << 13  # of a tile without a product
FAR = 1024  # bytes from a row to the next: so far apart, rows share cache sets, and a column of them is copied
HIGH = 48  # rows of a tile at least, where such a copy is made for it
COPIED = 1 << 13  # bytes of a copy at most


def updatable(region: Region) -> bool:
    """Whether this is a kind of update that there is code for."""
    steps: Sequence[Instruction] = region.body  # type: ignore[assignment]
    inside = {step.output for step in steps}
    if any(step.op.name not in ELEMENTWISE and not inside.isdisjoint(step.inputs) for step in steps):
        return False
    return all(
        step.op.name in ELEMENTWISE
        or (step.op.name == "matmul" and not step.params.get("transpose_b"))
        or (step.op.name == "sum" and step.params.get("axis") == 0)
        for step in steps
    )


class Update:
    """The code of one region."""

    def __init__(self, code: Code, steps: Sequence[Instruction], outputs: Sequence[Value]) -> None:
        self.code = code
        self.steps = [step for step in steps if step.op.name in ELEMENTWISE]
        self.gradient = next((step for step in steps if step.op.name not in ELEMENTWISE), None)
        self.outputs = outputs
        self.rows, self.columns = steps[0].output.shape
        self.dtype = steps[0].output.dtype
        self.scalar = CType.of(self.dtype).scalar
        self.widest = code.width(self.dtype)
        inside = {step.output for step in steps}
        self.inputs = [v for step in steps for v in step.inputs if v not in inside and v not in code.numbers]
        self.formal: list[str] = []
        self.actual: list[str] = []
        self.names: dict[Value, str] = {}

    def task(self) -> Task:
        """Tiles of some rows each, of equal height."""
        places = self.code.places
        summed = self._summed()
        work = summed * self.columns
        unit = min(self.code.registers, self.rows)
        high = (
            max(1, (self.code.settings.tile if self.gradient is not None else ELEMENTS) // max(1, work * unit)) * unit
        )
        if self._copies(self.widest):
            high = max(high, HIGH // unit * unit)
        count = -(-self.rows // high)
        body = self._call(high)
        reads = spans([places[value] for value in dict.fromkeys(self.inputs)])
        writes = spans([places[value] for value in self.outputs])
        return Task(count, body, reads, writes)

    def _summed(self) -> int:
        return self.gradient.inputs[0].shape[0] if self.gradient is not None else 1

    def _parameter(self, value: Value, written: bool = False) -> str:
        """The name by which the function knows a value's memory."""
        if value not in self.names:
            name = self.names[value] = f"p{len(self.names)}"
            place = self.code.places[value]
            self.formal.append(f"__global {'' if written else 'const '}{place.scalar}* {name}")
            self.actual.append(place.text)
        return self.names[value]

    def _call(self, high: int) -> str:
        """Write the function; returns the call of it for tile `t`."""
        targets = {value: self._parameter_written(value) for value in self.outputs}
        lines = []
        n = 0
        widths = []
        while n < self.columns:
            width = self.widest
            while width > self.columns - n:
                width //= 2
            stop = n + (self.columns - n) // width * width
            widths.append((width, stop))
            n = stop
        for number, (width, _) in enumerate(widths):
            lines.append(f"for (; n < stop{number}; n += {width}) {{ int r = begin;")
            if self._copies(width):
                lines += self._copy(width)
            for height in self._heights(high):
                lines += [f"for (; r + {height} <= end; r += {height}) {{", *self._tile(height, width, targets), "}"]
            lines.append("}")
        formal = [*self.formal, "const int begin", "const int end", "const int columns", "const int summed"]
        formal += [f"const int stop{number}" for number in range(len(widths))]
        if self._block():
            formal.append("const int extent")
        name = self.code.functions.name("update", ", ".join(formal), "\n".join(["int n = 0;", *lines]))
        numbers = [f"t * {high}", f"min((t + 1) * {high}, {self.rows})", str(self.columns), str(self._summed())]
        numbers += [str(stop) for _, stop in widths]
        if self._block():
            assert self.gradient is not None
            numbers.append(str(self.gradient.inputs[0].shape[1]))
        return f"{name}({', '.join([*self.actual, *numbers])});"

    def _heights(self, high: int) -> list[int]:
        """Rows of the tiles in registers, the highest first: those that it takes for whole tiles and the last one."""
        heights = set()
        for rows in {min(high, self.rows), self.rows % high}:
            for height in (self.code.registers, 4, 2, 1):
                if rows >= height:
                    heights.add(height)
                    rows %= height
        return sorted(heights, reverse=True)

    def _block(self) -> int:
        """The rows of a block of the product's first operand, if it is stored in blocks."""
        if self.gradient is None or self.gradient.op.name != "matmul":
            return 0
        return self.code.places[self.gradient.inputs[0]].block

    def _parameter_written(self, value: Value) -> str:
        """What is written may be the memory of what is read: one name for both."""
        place = self.code.places[value]
        for other in self.inputs:
            there = self.code.places[other]
            if (there.base, there.offset) == (place.base, place.offset) and there.scalar == place.scalar:
                name = self._parameter(other, written=True)
                self.names[value] = name
                return name
        return self._parameter(value, written=True)

    def _tile(self, height: int, width: int, targets: dict[Value, str]) -> list[str]:
        """The lines for some rows of a vector of columns."""
        kind = CType(self.scalar, width)
        zero = kind.number(0.0)
        lines = []
        if self.gradient is not None:
            lines += [f"{kind} a{i} = {zero};" for i in range(height)]
            lines += self._product(height, width) if self.gradient.op.name == "matmul" else self._sum(width)
        for i in range(height):
            names = {self.gradient.output: f"a{i}"} if self.gradient is not None else {}
            lines += chained(self.steps, names, partial(self._operand, i=i, kind=kind), kind, f"b{i}_")
            for value, target in targets.items():
                lines.append(kind.store(names[value], f"{target} + (size_t)(r + {i}) * columns + n"))
        return lines

    def _copies(self, width: int) -> bool:
        """Whether the columns of the product's second operand are copied before tiles are made of them."""
        if self.gradient is None or self.gradient.op.name != "matmul" or self.rows < HIGH:
            return False
        size = WIDTHS[self.dtype]
        return self.columns * size >= FAR and self._summed() * width * size <= COPIED

    def _copy(self, width: int) -> list[str]:
        assert self.gradient is not None
        g, kind = self._parameter(self.gradient.inputs[1]), CType(self.scalar, width)
        column = kind.load(f"{g} + (size_t)b * columns + n")
        return [f"{kind} panel[{self._summed()}];", f"for (int b = 0; b < summed; b++) panel[b] = {column};"]

    def _product(self, height: int, width: int) -> list[str]:
        assert self.gradient is not None
        x, g = (self._parameter(value) for value in self.gradient.inputs)
        kind, block = CType(self.scalar, width), self._block()
        source = "panel[b]" if self._copies(width) else kind.load(f"{g} + (size_t)b * columns + n")
        loads = f"const {kind} v = {source};"
        if block:
            lines = [f"for (int begun = from; begun < to; begun += {block}) {{"]
            lines.append(f"__global const {self.scalar}* x = {x} + (size_t)begun * extent + (size_t)r * {block};")
            lines += [f"for (int i = 0; i < {block}; i++) {{ const int b = begun + i;", loads]
            lines += [f"a{i} = fma({kind.splat(f'x[{i * block} + i]')}, v, a{i});" for i in range(height)]
            lines += ["}", "}"]
        else:
            extent = self.gradient.inputs[0].shape[1]
            lines = [f"__global const {self.scalar}* x = {x} + (size_t)from * {extent} + r;"]
            lines += ["for (int b = from; b < to; b++) {", loads]
            lines += [f"a{i} = fma({kind.splat(f'x[{i}]')}, v, a{i});" for i in range(height)]
            lines += [f"x += {extent};", "}"]
        return self._in_parts(lines, height, width)

    def _sum(self, width: int) -> list[str]:
        assert self.gradient is not None
        g = self._parameter(self.gradient.inputs[0])
        term = CType(self.scalar, width).load(f"{g} + (size_t)b * columns + n")
        return self._in_parts([f"for (int b = from; b < to; b++) a0 += {term};"], 1, width)

    def _in_parts(self, lines: list[str], height: int, width: int) -> list[str]:
        """Lines that add the terms `from` … `to` to the sums, for all terms: if they are many, part by part."""
        if self._summed() <= IN_TURN:
            return ["{ const int from = 0, to = summed;", *lines, "}"]
        kind = CType(self.scalar, width)
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

    def _operand(self, value: Value, i: int, kind: CType) -> str:
        if value in self.code.numbers:
            return kind.number(self.code.numbers[value])
        name, (rows, columns) = self._parameter(value), value.shape
        row = f"(size_t)(r + {i}) * {'columns' if columns > 1 else 1}" if rows > 1 else "0"
        if columns == 1 and self.columns > 1:
            return kind.splat(f"{name}[{row}]")
        return f"({kind.load(f'{name} + {row} + n')})"
