"""Cross-entropy, its gradient and the number of correct rows, together: the exponentials are made once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pycrograd_core.capture.program import Instruction, Region, Value, flat

from .emitters import EMITTERS, LONG, Emitter, Piece, total
from .source import Code

LOGITS = {"cross_entropy": 0, "count_correct": 0, "cross_entropy_gradient": 1}  # op: the position of the logits


class Losses:
    """One or more of these ops, on the same logits and labels."""

    def __init__(self, parts: Mapping[str, Instruction]) -> None:
        self.parts = parts
        name, step = next(iter(parts.items()))
        self.logits, self.labels = step.inputs[LOGITS[name] : LOGITS[name] + 2]
        shape, dtype = self.logits.shape, self.logits.dtype
        column = ((shape[0], 1), dtype)
        self.pieces: dict[str, Piece] = {
            "shifted": (shape, dtype),
            "exponentials": (shape, dtype),
            "sums": column,
            "losses": column,
            "picked": column,
            "places": ((shape[0], 1), "intp"),
            "hits": ((shape[0],), "bool"),
            "factor": ((1, 1), dtype),
        }

    @property
    def scratch(self) -> Sequence[Piece]:
        """The arrays that they need meanwhile."""
        return list(self.pieces.values())

    def suits(self, homes: Mapping[Value, Value]) -> bool:
        """They can write anywhere."""
        return True

    def emit(self, code: Code, *scratch: str) -> None:
        """Add the lines. `scratch` names an array for each of `pieces`."""
        names = dict(zip(self.pieces, scratch, strict=True))
        flat_places = code.names.bind(code.names.table[names["places"]].reshape(-1))
        if "count_correct" in self.parts:
            self._count(code, flat_places, names["hits"])
        loss, gradient = self.parts.get("cross_entropy"), self.parts.get("cross_entropy_gradient")
        if not loss and not gradient:
            return
        (rows, cols), dtype = self.logits.shape, self.logits.dtype
        logits, z, sums = code.text(self.logits), names["shifted"], names["sums"]
        e = code.text(gradient.output) if gradient else names["exponentials"]
        code.call(np.maximum.reduce, logits, "1", "None", sums, "True")
        code.call(np.subtract, logits, sums, z)
        code.call(np.exp, z, e)
        total(code, e, (rows, cols), dtype, 1, sums)
        starts = code.names.bind(np.arange(0, rows * cols, cols).reshape(-1, 1))
        code.call(np.add, code.text(self.labels), starts, names["places"])
        if loss:
            code.call(np.log, sums, names["losses"])
            code.say(f'{z}.take({names["places"]}, None, {names["picked"]}, "clip")')
            code.call(np.subtract, names["losses"], names["picked"], names["losses"])
            _mean(code, names["losses"], rows, dtype, code.text(loss.output))
        if gradient:  # last: its factor may be the loss itself
            code.call(np.divide, e, sums, e)
            code.say(f"{code.flat(gradient.output)}[{flat_places}] -= {code.names.bind(np.dtype(dtype).type(1))}")
            code.call(np.multiply, e, self._factor(code, gradient, names["factor"]), e)

    def _count(self, code: Code, places: str, hits: str) -> None:
        code.say(f"{code.text(self.logits)}.argmax(1, {places})")
        code.call(np.equal, places, code.flat(self.labels), hits)
        counted = f"{code.names.shared(np.count_nonzero)}({hits})"
        code.say(f"{code.text(self.parts['count_correct'].output)}.fill({counted})")

    def _factor(self, code: Code, gradient: Instruction, scratch: str) -> str:
        """The gradient of the loss, divided by the rows."""
        g, rows, dtype = gradient.inputs[0], self.logits.shape[0], self.logits.dtype
        if g in code.numbers:
            number = np.dtype(dtype).type(code.numbers[g]) / np.dtype(dtype).type(rows)
            return code.scalar(float(number), dtype)
        code.call(np.divide, code.text(g), code.scalar(rows, dtype), scratch)
        return f"{scratch}[0, 0]"


def _mean(code: Code, losses: str, rows: int, dtype: str, out: str) -> None:
    if rows <= LONG:
        code.call(np.dot, code.filled((1, rows), dtype, 1 / rows), losses, out)
        return
    total(code, losses, (rows, 1), dtype, 0, out)
    code.call(np.divide, out, code.scalar(rows, dtype), out)


def together(region: Region) -> Losses | None:
    """The parts of a region that is nothing but these ops, each once, on the same logits and labels."""
    steps = list(flat(region.body))
    parts = {step.op.name: step for step in steps}
    if len(parts) < len(steps) or not parts.keys() <= LOGITS.keys():
        return None
    operands = {step.inputs[LOGITS[name] : LOGITS[name] + 2] for name, step in parts.items()}
    return Losses(parts) if len(operands) == 1 else None


def _alone(code: Code, step: Instruction, *scratch: str) -> None:
    Losses({step.op.name: step}).emit(code, *scratch)


EMITTERS.update({
    name: Emitter(_alone, lambda step: Losses({step.op.name: step}).scratch) for name in LOGITS
})  # fmt: skip
