"""Updates: a parameter's gradient and what the optimiser makes of it, in one pass over the parameter.

The gradient is summed in registers, tile by tile, and goes from there into the weights: it is never in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from pycrograd_core.capture.program import Instruction, Region, Value, flat

from ..c_types import CType
from ..expressions import ELEMENTWISE
from .code import Code, Parameters, chained
from .gradients import Gradient
from .task import Task, spans

ELEMENTS = 1 << 13  # of a tile without a product


def updatable(region: Region) -> bool:
    """Whether this is a kind of update that there is code for."""
    steps = list(flat(region.body))
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
        self.outputs = outputs
        self.rows, self.columns = steps[0].output.shape
        self.widest = CType.of(steps[0].output.dtype, code.width(steps[0].output.dtype))
        inside = {step.output for step in steps}
        read = [(step.op.name, value) for step in steps for value in step.inputs if value not in inside]
        self.inputs = [value for name, value in read if value not in code.numbers or name not in ELEMENTWISE]
        self.parameters = Parameters()
        self.names: dict[Value, str] = {}
        summing = next((step for step in steps if step.op.name not in ELEMENTWISE), None)
        self.gradient: Gradient | None = None
        if summing is not None:
            self.gradient = Gradient(summing, code.places[summing.inputs[0]].block, self._name)
        self.terms = 1 if self.gradient is None else self.gradient.terms

    def task(self) -> Task:
        """Tiles of some rows each, of equal height."""
        places = self.code.places
        unit = min(self.code.registers, self.rows)
        work = ELEMENTS if self.gradient is None else self.code.settings.tile
        high = max(1, work // max(1, self.terms * self.columns * unit)) * unit
        if self.gradient is not None:
            high = max(high, self.gradient.least_rows(self.widest) // unit * unit)
        high = min(high, self.rows)  # settings that make one tile of it make the same code
        body = self._call(high)
        reads = spans([places[value] for value in dict.fromkeys(self.inputs)])
        return Task(-(-self.rows // high), body, reads, spans([places[value] for value in self.outputs]))

    def _call(self, high: int) -> str:
        """Write the function; returns the call of it for tile `t`."""
        targets = {value: self._name_written(value) for value in self.outputs}
        widths, lines = self._widths(), ["int n = 0;"]
        for number, (kind, _) in enumerate(widths):
            lines.append(f"for (; n < stop{number}; n += {kind.lanes}) {{ int r = begin;")
            if self.gradient is not None:
                lines += self.gradient.copy(kind)
            for height in self._heights(high):
                lines += [f"for (; r + {height} <= end; r += {height}) {{", *self._tile(height, kind, targets), "}"]
            lines.append("}")
        self.parameters.number("begin", f"t * {high}")
        self.parameters.number("end", f"min((t + 1) * {high}, {self.rows})")
        self.parameters.number("columns", self.columns)
        self.parameters.number("summed", self.terms)
        for number, (_, stop) in enumerate(widths):
            self.parameters.number(f"stop{number}", stop)
        if self.gradient is not None and self.gradient.block:
            self.parameters.number("extent", self.gradient.extent)
        return self.parameters.call(self.code.functions, "update", lines)

    def _widths(self) -> list[tuple[CType, int]]:
        """The vectors that columns are cut into, wide ones first, and the columns where those of a width end."""
        widths, stop, lanes = [], 0, self.widest.lanes
        while stop < self.columns:
            while lanes > self.columns - stop:
                lanes //= 2
            stop += (self.columns - stop) // lanes * lanes
            widths.append((CType(self.widest.scalar, lanes), stop))
        return widths

    def _heights(self, high: int) -> list[int]:
        """Rows of the tiles in registers, the highest first: those that it takes for whole tiles and the last one."""
        heights = set()
        for rows in {min(high, self.rows), self.rows % high}:
            for height in (self.code.registers, 4, 2, 1):
                if rows >= height:
                    heights.add(height)
                    rows %= height
        return sorted(heights, reverse=True)

    def _tile(self, height: int, kind: CType, targets: dict[Value, str]) -> list[str]:
        """The lines for some rows of a vector of columns."""
        lines = [] if self.gradient is None else self.gradient.summed(height, kind)
        for i in range(height):
            names = {} if self.gradient is None else {self.gradient.output: f"a{i}"}
            lines += chained(self.steps, names, partial(self._operand, i=i, kind=kind), kind, f"b{i}_")
            for value, target in targets.items():
                lines.append(kind.store(names[value], f"{target} + (size_t)(r + {i}) * columns + n"))
        return lines

    def _operand(self, value: Value, i: int, kind: CType) -> str:
        if value in self.code.numbers:
            return kind.number(self.code.numbers[value])
        name, (rows, columns) = self._name(value), value.shape
        row = f"(size_t)(r + {i}) * {'columns' if columns > 1 else 1}" if rows > 1 else "0"
        if columns == 1 and self.columns > 1:
            return kind.splat(f"{name}[{row}]")
        return f"({kind.load(f'{name} + {row} + n')})"

    # Parameters ----------------------------------------------------------------------------------------------------

    def _name(self, value: Value, written: bool = False) -> str:
        """The name by which the function knows a value's memory."""
        if value not in self.names:
            name = self.names[value] = f"p{len(self.names)}"
            place = self.code.places[value]
            self.parameters.pointer(name, place.scalar, place.text, written)
        return self.names[value]

    def _name_written(self, value: Value) -> str:
        """What is written may be the memory of what is read: one name for both."""
        place = self.code.places[value]
        for other in self.inputs:
            there = self.code.places[other]
            if (there.base, there.offset) == (place.base, place.offset) and there.scalar == place.scalar:
                name = self.names[value] = self._name(other, written=True)
                return name
        return self._name(value, written=True)
