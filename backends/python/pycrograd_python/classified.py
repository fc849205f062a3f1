"""The losses of a batch of logits, their gradient and how many are right: the exponentials of each row once."""

from __future__ import annotations

from array import array
from math import exp, isnan
from typing import TYPE_CHECKING

from pycrograd_core.matrix import FORMATS

from . import ieee
from .kernels import position_of_greatest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycrograd_core.capture.program import Instruction, Value

    from .product import Values

OPS = ("cross_entropy", "cross_entropy_gradient", "count_correct")


def of_one_batch(body: Iterable[Instruction]) -> dict[str, Instruction] | None:
    """The instructions by name, if they are these ops of the same logits and labels, each once and none of another."""
    named: dict[str, Instruction] = {}
    operands: set[tuple[Value, ...]] = set()
    made: set[Value] = set()
    for instruction in body:
        if instruction.op.name not in OPS or instruction.op.name in named or not made.isdisjoint(instruction.inputs):
            return None
        made.add(instruction.output)
        named[instruction.op.name] = instruction
        operands.add(instruction.inputs[-2:])
    return named if len(operands) == 1 else None


def classified(
    dtype: str, rows: Sequence[tuple[float, ...]], labels: Iterable[int], g: float | None
) -> tuple[Values, Values, Values]:
    """Of the rows of logits the mean loss, its gradient times `g` (nothing, if g is None) and the number right."""
    losses: list[float] = []
    gradient: list[float] = []
    correct = 0
    scale = None if g is None else g / len(rows)
    for row, label in zip(rows, labels, strict=True):
        greatest = max(row)
        moved = [x - greatest for x in row]
        exponentials = list(map(exp, moved))
        total = sum(exponentials)
        losses.append(-(moved[label] - ieee.log(total)))
        if scale is not None:
            shares = [e / total * scale for e in exponentials]
            shares[label] = (exponentials[label] / total - 1.0) * scale
            gradient += shares
        correct += (position_of_greatest(row) if isnan(total) else row.index(greatest)) == label
    code = FORMATS[dtype]
    return array(code, [sum(losses) / len(losses)]), array(code, gradient), array(code, [correct])
