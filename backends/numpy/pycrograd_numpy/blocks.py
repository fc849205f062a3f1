"""Updates that are more than sums (Adam, or where no BLAS can add in place): in blocks of the rows of the weights.

A block of the gradient, of what the optimiser remembers and of the weights stays in the cache while all passes work on
it, and the whole gradient is never in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pycrograd_core.capture.program import Instruction, Program, Region, Value, flat

from .emitters import Piece
from .source import Code, Place

BLOCK = 1 << 17  # elements
Role = str  # of an operand: "rows" or "columns" of it belong to a block, or the "whole"
Parts = tuple[tuple[Value, Role], ...]


@dataclass(frozen=True)
class Block:
    """A region cut down to some rows: a program whose arguments are parts of what the region reads and writes."""

    rows: int
    program: Program
    parts: Parts  # for each argument
    planned: Any  # its plan, and the regions that are run in one piece


@dataclass(frozen=True)
class Blocked:
    """An update region that is run block by block. `rows` are those of the weights."""

    rows: int
    blocks: tuple[Block, ...]  # one for all equal blocks, and one for what is left
    emit_body: Callable[..., None] = field(repr=False)
    targets: Mapping[Value, Value]  # of outputs, what they are written over

    @property
    def scratch(self) -> tuple[Piece, ...]:
        """One arena for all blocks."""
        return (((max(block.planned[0].size for block in self.blocks),), "uint8"),)

    def suits(self, homes: Mapping[Value, Value]) -> bool:
        """Whether each value is computed in the memory for which the blocks were made."""
        return all(homes.get(value) is target for value, target in self.targets.items())

    def emit(self, code: Code, *scratch: str) -> None:
        """Add the lines."""
        (arena,) = scratch
        start = 0
        for block in self.blocks:
            parameters = [f"b{number}" for number in range(len(block.parts))]
            places = {
                argument: Place(name) if role != "whole" or code.places[value].array is None else code.places[value]
                for name, argument, (value, role) in zip(parameters, block.program.arguments, block.parts, strict=True)
            }
            inner = Code(code.names, places, code.names.table[arena], {})
            self.emit_body(inner, block.program, *block.planned)
            code.ieee = code.ieee or inner.ieee
            name = code.names.function(parameters, inner.body(parameters))
            stop = start + (self.rows - start) // block.rows * block.rows
            given = ", ".join(_part(code.text(value), role, block.rows) for value, role in block.parts)
            code.say(f"for i in range({start}, {stop}, {block.rows}): {name}({given})")
            start = stop


def _part(text: str, role: Role, rows: int) -> str:
    return {"whole": text, "rows": f"{text}[i:i + {rows}]", "columns": f"{text}[:, i:i + {rows}]"}[role]


def blocked(
    region: Region,
    program: Program,
    planned: Callable[[Program], Any],
    emit_body: Callable[..., None],
) -> Blocked | None:
    """An update region to run in blocks, if it is larger than one, and all of it can be cut by rows."""
    targets = {value: target for target, value in program.updates.items() if value in region.outputs}
    kinds = {value.shape for value in region.outputs}
    if len(kinds) != 1 or len(targets) < len(region.outputs):
        return None
    rows, cols = next(iter(kinds))
    if rows * cols <= BLOCK or rows == 1:
        return None
    count = max(1, BLOCK // cols)
    blocks = []
    for extent in (count, rows % count):
        if not extent:
            continue
        cut = _Cut(rows, extent, (rows, cols)).program(region, program, targets)
        if cut is None:
            return None
        blocks.append(Block(extent, *cut, planned(cut[0])))
    return Blocked(rows, tuple(blocks), emit_body, targets)


class _Cut:
    """Makes a region's instructions those of a block."""

    def __init__(self, rows: int, extent: int, shape: tuple[int, int]) -> None:
        self.rows, self.extent, self.shape = rows, extent, shape
        self.arguments: dict[tuple[Value, Role], Value] = {}
        self.made: dict[Value, Value] = {}

    def program(self, region: Region, program: Program, targets: Mapping[Value, Value]) -> tuple[Program, Parts] | None:
        """The program of a block, and which part of which value each of its arguments is."""
        body = []
        for step in flat(region.body):
            roles = self._roles(step)
            if roles is None:
                return None
            inputs = tuple(self._part(value, role) for value, role in zip(step.inputs, roles, strict=True))
            output = self.made[step.output] = Value((self.extent, step.output.shape[1]), step.output.dtype)
            body.append(Instruction(step.op, inputs, step.params, output))
        if any((target, role) in self.arguments for target in targets.values() for role in ("whole", "columns")):
            return None  # a block would read what the block before it wrote
        updates = {self._argument(target, "rows"): self.made[value] for value, target in targets.items()}
        arguments = tuple(self.arguments.values())
        return Program(program.matrix, arguments, tuple(body), (), updates=updates), tuple(self.arguments)

    def _roles(self, step: Instruction) -> list[Role] | None:
        if step.output.shape != self.shape:
            return None
        if step.op.elementwise:
            return ["rows" if value.shape[0] == self.rows else "whole" for value in step.inputs]
        if step.op.name == "matmul" and not any(value in self.made for value in step.inputs):
            return ["columns" if step.params.get("transpose_a") else "rows", "whole"]
        return None

    def _part(self, value: Value, role: Role) -> Value:
        return self.made[value] if value in self.made else self._argument(value, role)

    def _argument(self, value: Value, role: Role) -> Value:
        key = (value, role)
        if key not in self.arguments:
            rows, cols = value.shape
            shapes = {"whole": (rows, cols), "rows": (self.extent, cols), "columns": (rows, self.extent)}
            self.arguments[key] = Value(shapes[role], value.dtype)
        return self.arguments[key]
