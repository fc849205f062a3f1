"""Where two traces of one step differ, in words."""

from __future__ import annotations

from array import array
from itertools import zip_longest

from pycrograd_core.matrix import FORMATS

from .program import Constant, Instruction, Program, Value


def difference(before: Program, after: Program) -> str:
    """The first difference between two programs that are not the same."""
    names = before.names(), after.names()
    for one, other in zip_longest(before.instructions, after.instructions):
        if one is None or other is None:
            return f"{len(list(before.instructions))} operations became {len(list(after.instructions))}"
        texts = [
            _text(program, step, named)
            for program, step, named in zip((before, after), (one, other), names, strict=True)
        ]
        if texts[0] != texts[1]:
            return f"`{texts[0]}` became `{texts[1]}`"
    if list(map(id, before.states.values())) != list(map(id, after.states.values())):
        return "it uses other tensors"
    return "it returns or keeps something else"


def _text(program: Program, step: Instruction, names: dict[Value, str]) -> str:
    given = [_constant(program.constants[x], x) if x in program.constants else names[x] for x in step.inputs]
    given += [f"{name}={value}" for name, value in step.params.items()]
    return f"{step.op.name}({', '.join(given)})"


def _constant(constant: Constant, value: Value) -> str:
    if not isinstance(constant.content, bytes):
        return f"{constant.content:.9g}"
    numbers = array(FORMATS[value.dtype], constant.content)
    shown = ", ".join(f"{number:.9g}" for number in numbers[:4])
    return f"[{shown}{', …' if len(numbers) > 4 else ''}]"
