"""A Program as text: one line an instruction, indented within regions, or the formula of one kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .program import Instruction, Program, Region, Step, Value, flat, uses

TRANSPOSED = {"transpose_a": 0, "transpose_b": 1}  # parameters that say which operand is transposed
BEFORE = "·"  # stands for the result just before, in a chain


def listing(program: Program, names: Mapping[Value, str] | None = None) -> str:
    """Every input, step and result, with shapes. `names` are of values that have a better one than their number."""
    known = {**program.names(), **(names or {})}

    def sized(value: Value) -> str:
        return f"{known[value]}[{dimensions(value)}]"

    def constant(value: Value) -> str:
        content = program.constants[value].content
        return f"{sized(value)} = {len(content)} bytes" if isinstance(content, bytes) else f"{sized(value)} = {content}"

    def lines(body: Iterable[Step], indent: str) -> Iterator[str]:
        for step in body:
            if isinstance(step, Region):
                yield f"{indent}{step.kind} → {', '.join(known[value] for value in step.outputs)}"
                yield from lines(step.body, indent + "  ")
            else:
                yield f"{indent}{sized(step.output)} = {call(step, known)}"

    head = [
        f"{kind}: {', '.join(map(described, values))}"
        for kind, values, described in (
            ("arguments", program.arguments, sized),
            ("states", program.states, sized),
            ("feeds", program.feeds, sized),
            ("constants", program.constants, constant),
        )
        if values
    ]
    tail = [f"{known[state]} ← {known[value]}" for state, value in program.updates.items()]
    if program.outputs:
        tail.append(f"return {', '.join(known[value] for value in program.outputs)}")
    return "\n".join([*head, *lines(program.body, "  "), *tail])


def labels(program: Program, names: Mapping[Value, str]) -> dict[Value, str]:
    """What a reader calls each value: by the given names, a constant by its number, else by `Program.names`.

    What a state of that name holds after the step has a prime: 0.weight′.
    """
    known = program.names()
    for value, constant in program.constants.items():
        if not isinstance(constant.content, bytes):
            known[value] = number(constant.content)
    made = {step.output for step in program.instructions} - names.keys()
    for state, value in program.updates.items():
        if state in names and value in made:
            known[value] = f"{names[state]}′"
    return {**known, **names}


def dimensions(value: Value) -> str:
    """Rows × columns, and the dtype where it is not the usual one."""
    suffix = "" if value.dtype == "float32" else f" {value.dtype}"
    return f"{value.shape[0]}×{value.shape[1]}{suffix}"


def number(content: float) -> str:
    """A number as short as it tells: 0.5, 2, 1e-08."""
    return f"{content:.4g}"


def parameters(step: Instruction) -> list[str]:
    """What an op was told besides its inputs; transposed operands are shown as such, and None and False say nothing."""
    said = {name: value for name, value in step.params.items() if name not in TRANSPOSED}
    return [
        f"{name}={number(value) if isinstance(value, float) else value}"
        for name, value in said.items()
        if value is not None and value is not False
    ]


def call(step: Instruction, known: Mapping[Value, str], before: Value | None = None) -> str:
    """An instruction as a call: matmul(xᵀ, v3). The value `before` is shown as a dot."""
    given = [BEFORE if value is before else known[value] for value in step.inputs]
    for name, position in TRANSPOSED.items():
        if step.params.get(name):
            given[position] += "ᵀ"
    return f"{step.op.name}({', '.join([*given, *parameters(step)])})"


def chains(step: Step) -> list[list[Instruction]]:
    """The instructions of a step, in chains of which each member is all that reads the result before it."""
    body = list(flat([step]))
    readers = uses(body)
    found: list[list[Instruction]] = []
    for position, instruction in enumerate(body):
        last = found[-1][-1].output if found else None
        if last is not None and last not in step.outputs and set(readers.get(last, ())) == {position}:
            found[-1].append(instruction)
        else:
            found.append([instruction])
    return found


def formula(step: Step, known: Mapping[Value, str]) -> str:
    """What a kernel computes: linear(x, 0.weight, 0.bias) → relu(·), a chain for each result that has a name."""
    parts = []
    found = chains(step)
    for chain in found:
        before = [None, *[each.output for each in chain]]
        text = " → ".join(call(each, known, last) for each, last in zip(chain, before, strict=False))
        parts.append(text if len(found) == 1 else f"{known[chain[-1].output]} = {text}")
    return "; ".join(parts)
