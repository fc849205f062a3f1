"""A Program as text: one line an instruction, indented within regions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .program import Program, Region, Step, Value


def listing(program: Program) -> str:
    """Every input, step and result, with shapes."""
    names = program.names()

    def sized(value: Value) -> str:
        suffix = "" if value.dtype == "float32" else f" {value.dtype}"
        return f"{names[value]}[{value.shape[0]}×{value.shape[1]}{suffix}]"

    def lines(body: Iterable[Step], indent: str) -> Iterator[str]:
        for step in body:
            if isinstance(step, Region):
                yield f"{indent}{step.kind} → {', '.join(names[value] for value in step.outputs)}"
                yield from lines(step.body, indent + "  ")
            else:
                given = [names[value] for value in step.inputs]
                given += [f"{name}={value}" for name, value in step.params.items()]
                yield f"{indent}{sized(step.output)} = {step.op.name}({', '.join(given)})"

    head = [
        f"{kind}: {', '.join(map(sized, values))}"
        for kind, values in (
            ("arguments", program.arguments),
            ("states", program.states),
            ("feeds", program.feeds),
            ("constants", program.constants),
        )
        if values
    ]
    tail = [f"{names[state]} ← {names[value]}" for state, value in program.updates.items()]
    if program.outputs:
        tail.append(f"return {', '.join(names[value] for value in program.outputs)}")
    return "\n".join([*head, *lines(program.body, "  "), *tail])
