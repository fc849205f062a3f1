"""Putting one value in the place of another, all over a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..program import Instruction, Program, Region, Step, Value

Names = Mapping[Value, Value]  # for each value that is replaced, the one that stands for it from now on


def renamed(step: Step, names: Names) -> Step:
    """A step that reads the values that others were replaced by: itself, if it reads none of those."""
    inputs = step.inputs
    for value in inputs:
        if value in names:
            break
    else:
        return step
    inputs = tuple([names.get(value, value) for value in inputs])
    if isinstance(step, Region):
        body = tuple([renamed(inner, names) for inner in step.body])
        return Region(step.kind, body, tuple(dict.fromkeys(inputs)), step.outputs)
    return Instruction(step.op, inputs, step.params, step.output)


def rewritten(program: Program, body: Iterable[Step], names: Names, **changes: Any) -> Program:
    """A program with another body, whose outputs and updates are renamed as the body was."""
    return replace(
        program,
        body=tuple(body),
        outputs=tuple([names.get(value, value) for value in program.outputs]),
        updates={target: names.get(value, value) for target, value in program.updates.items()},
        **changes,
    )
