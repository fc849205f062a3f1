"""Common subexpressions: what is computed twice is computed once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from ..program import Instruction, Program, Step, Value
from .renaming import renamed, rewritten


def common_subexpressions(program: Program) -> Program:
    """The program in which each op with the same inputs and parameters, and each equal constant, is there once.

    Ops are pure, so the first result serves for all. An op whose parameters have no hash is left alone.
    """
    names: dict[Value, Value] = {}
    seen: dict[Hashable, Value] = {}
    for value, constant in program.constants.items():
        first = seen.setdefault((constant.bits, value.shape, value.dtype), value)
        if first is not value:
            names[value] = first
    body: list[Step] = []
    for old in program.body:
        step = renamed(old, names)
        if isinstance(step, Instruction):
            key = (step.op, step.inputs, params_key(step.params) if step.params else ())
            try:
                first = seen.setdefault(key, step.output)
            except TypeError:  # no hash
                first = step.output
            if first is not step.output:
                names[step.output] = first
                continue
        body.append(step)
    if not names:
        return program
    constants = {value: constant for value, constant in program.constants.items() if value not in names}
    return rewritten(program, body, names, constants=constants)


def params_key(params: Mapping[str, Any]) -> tuple[Hashable, ...]:
    """Equal for parameters that mean the same. 0.0 and -0.0 do not, nor do 1 and 1.0 to an op that looks."""
    return tuple(
        [(name, type(value), repr(value) if type(value) is float else value) for name, value in sorted(params.items())]
    )
