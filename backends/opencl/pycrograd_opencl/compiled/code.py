"""What the parts of a program's code have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pycrograd_core.capture.program import Instruction, Value

from ..c_types import CType
from ..expressions import expression
from .places import Place
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


class Parameters:
    """What a function is given, and what a call of it passes."""

    def __init__(self) -> None:
        self._formal: list[str] = []
        self._actual: list[str] = []

    def pointer(self, name: str, scalar: str, address: str, written: bool = False) -> None:
        """A pointer to numbers, which are only read or also `written`."""
        self._formal.append(f"__global {'' if written else 'const '}{scalar}* {name}")
        self._actual.append(address)

    def number(self, name: str, value: int | str) -> None:
        """An integer, or an expression for it where the call is."""
        self._formal.append(f"const int {name}")
        self._actual.append(str(value))

    def call(self, functions: Functions, prefix: str, lines: Sequence[str]) -> str:
        """The statement that calls a function with these parameters and lines, which is added if there is none."""
        name = functions.name(prefix, ", ".join(self._formal), "\n".join(lines))
        return f"{name}({', '.join(self._actual)});"


def applied(
    step: Instruction, names: dict[Value, str], operand: Callable[[Value], str], ctype: CType, name: str
) -> str:
    """The line for an elementwise step. `names` knows what is in variables, and gets the step's result."""
    operands = [names.get(value) or operand(value) for value in step.inputs]
    names[step.output] = name
    return f"const {ctype} {name} = {expression(step.op.name, operands, step.params, ctype)};"


def chained(
    steps: Sequence[Instruction], names: dict[Value, str], operand: Callable[[Value], str], ctype: CType, prefix: str
) -> list[str]:
    """Lines for elementwise steps, one after the other."""
    return [applied(step, names, operand, ctype, f"{prefix}{position}") for position, step in enumerate(steps)]
