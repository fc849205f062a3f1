"""Lowering: derived ops that the backend does not compile whole become the ops that they decompose into."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op

from ..program import Instruction, Program, Step, Value
from ..recorder import Recorder
from .common_subexpressions import params_key
from .renaming import renamed, rewritten


def lower(program: Program) -> Program:
    """The program in ops that the backend has: those in its `compiled_ops`, and those that have no decomposition.

    If it names no `compiled_ops`, it has those that it overrides, and every op computes what it did before. An op that
    it overrides but does not compile is replaced as well; that may round otherwise. Regions are left as they are.
    """
    names: dict[Value, Value] = {}
    body: list[Step] = []
    lowering = _Lowering(program.matrix)
    for old in program.body:
        step = renamed(old, names) if names else old
        if isinstance(step, Instruction) and lowering.lowers(step.op):
            names[step.output] = lowering.write(step, body)
        else:
            body.append(step)
    if not names:
        return program
    return rewritten(program, body, names, constants={**program.constants, **lowering.recorder.constants})


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What an op decomposes into, on inputs of some shapes: instructions to repeat with other values."""

    inputs: tuple[Value, ...]
    body: list[Step]
    result: Value


class _Lowering:
    """Decompositions for one backend, each recorded once for all inputs of the same shapes."""

    def __init__(self, matrix: type[Matrix]) -> None:
        self.matrix = matrix
        self.recorder = Recorder(matrix)
        self._patterns: dict[Hashable, _Pattern] = {}
        self._lowered: dict[Op, bool] = {}

    def lowers(self, op: Op) -> bool:
        """Whether an op is replaced by its decomposition."""
        if op not in self._lowered:
            compiled = self.matrix.compiled_ops
            kept = self.matrix.kernels.overrides(op) if compiled is None else op.name in compiled
            self._lowered[op] = op.decomposition is not None and not kept
        return self._lowered[op]

    def write(self, instruction: Instruction, body: list[Step]) -> Value:
        """Append the steps that stand for an instruction. Returns the value that stands for its output."""
        pattern = self._pattern(instruction)
        values = dict(zip(pattern.inputs, instruction.inputs, strict=True))
        for step in pattern.body:
            assert isinstance(step, Instruction)
            inputs = tuple([values.get(value, value) for value in step.inputs])
            output = values[step.output] = Value(step.output.shape, step.output.dtype)
            body.append(Instruction(step.op, inputs, step.params, output))
        return values.get(pattern.result, pattern.result)  # a constant stands for itself

    def _pattern(self, instruction: Instruction) -> _Pattern:
        shapes = tuple([(value.shape, value.dtype) for value in instruction.inputs])
        key = (instruction.op, shapes, params_key(instruction.params))
        try:
            known = self._patterns.get(key)
        except TypeError:  # parameters without a hash
            return self._recorded(instruction)
        if known is None:
            known = self._patterns[key] = self._recorded(instruction)
        return known

    def _recorded(self, instruction: Instruction) -> _Pattern:
        op: Any = instruction.op
        recorder = self.recorder
        arguments = [recorder.argument(value.shape, value.dtype) for value in instruction.inputs]
        inputs = tuple([argument.current for argument in arguments])
        recorder.body = []
        result = op.decomposition(*arguments, **instruction.params).current
        names: dict[Value, Value] = {}
        body: list[Step] = []
        for recorded in recorder.body:
            part = renamed(recorded, names)
            if isinstance(part, Instruction) and self.lowers(part.op):
                names[part.output] = self.write(part, body)
            else:
                body.append(part)
        return _Pattern(inputs, body, names.get(result, result))
