"""What the parts of a program's code have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pycrograd_core.capture.program import Instruction, Value

from ..expressions import CType, expression, number
from .places import SCALARS, Place
from .settings import Settings
from .task import Functions

IN_TURN = 256  # numbers that are added one after the other: a sum of such sums loses fewer digits


@dataclass
class Code:
    """The functions written so far, and where each value is. `numbers` are constants that are one number throughout."""

    numbers: Mapping[Value, float]
    settings: Settings
    places: dict[Value, Place] = field(default_factory=dict)
    functions: Functions = field(default_factory=Functions)

    @property
    def lanes(self) -> int:
        """How many float32 a task works on at once."""
        return self.settings.lanes

    @property
    def registers(self) -> int:
        """How many sums of vectors of so many a task holds."""
        return self.settings.registers

    def width(self, dtype: str) -> int:
        """The lanes of a vector of a dtype."""
        return max(1, self.lanes // 2) if dtype == "float64" else self.lanes


def vector(scalar: str, lanes: int) -> str:
    """The type of a vector."""
    return CType(scalar, lanes).name


def load(lanes: int, address: str) -> str:
    """A vector from memory, aligned as its elements are."""
    return f"vload{lanes}(0, {address})" if lanes > 1 else f"*({address})"


def store(lanes: int, value: str, address: str) -> str:
    """The statement that writes a vector."""
    return f"vstore{lanes}({value}, 0, {address});" if lanes > 1 else f"*({address}) = {value};"


def splat(value: str, scalar: str, lanes: int) -> str:
    """A number in every lane."""
    return f"(({vector(scalar, lanes)})({value}))" if lanes > 1 else f"({value})"


def literal(value: float, dtype: str, lanes: int) -> str:
    """A constant in every lane."""
    return number(value, CType(SCALARS[dtype], lanes))


def chained(
    steps: Sequence[Instruction], names: dict[Value, str], operand: Callable[[Value], str], ctype: CType, prefix: str
) -> list[str]:
    """Lines for elementwise steps, one after the other. `names` knows what is in variables, and gets their results."""
    lines = []
    for position, step in enumerate(steps):
        operands = [names.get(value) or operand(value) for value in step.inputs]
        name = names[step.output] = f"{prefix}{position}"
        lines.append(f"const {ctype.name} {name} = {expression(step.op.name, operands, step.params, ctype)};")
    return lines
