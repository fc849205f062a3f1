"""Products with kernels of their own, and what is done to each element while it is at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pycrograd_core.capture.program import Instruction, Value

from ..c_types import CType
from ..expressions import ELEMENTWISE
from ..gemm import Product, generate
from .code import Code, chained
from .task import Own, Task, spans

if TYPE_CHECKING:
    from ..devices import Device


def product(code: Code, device: Device, steps: Sequence[Instruction], outputs: Sequence[Value]) -> Task:
    """A `matmul` or `linear` and elementwise steps of its shape, by the generator's kernel for its size."""
    first, *chain = sorted(steps, key=lambda step: step.op.name in ELEMENTWISE)
    a, b = first.inputs[:2]
    turned_a, turned_b = bool(first.params.get("transpose_a")), bool(first.params.get("transpose_b"))
    dtype = first.output.dtype
    kind = CType.of(dtype)
    given: dict[Value, str] = {}
    lines: list[str] = []

    def operand(value: Value) -> str:
        if value in code.numbers:
            return kind.number(code.numbers[value])
        name = given.setdefault(value, f"q{len(given)}")
        row = "row" if value.shape[0] > 1 else "0"
        column = "col" if value.shape[1] > 1 else "0"
        return f"{name}[(size_t)({row}) * {value.shape[1]} + {column}]"

    names = {first.output: "value"}
    if first.op.name == "linear":
        names[first.output] = "sum"
        lines.append(f"const {kind} sum = value + {operand(first.inputs[2])};")
    lines += chained(chain, names, operand, kind, "z")
    memory = {code.places[value].span: name for value, name in given.items()}
    new = [value for value in outputs if code.places[value].span not in memory]
    targets = {value: f"y{number}" for number, value in enumerate(new)}
    for value in outputs:  # what is overwritten has one name, so that the compiler need not wonder
        target = targets.get(value) or memory[code.places[value].span]
        lines.append(f"{target}[(size_t)row * COLS + col] = {names[value]};")
    parameters = [f"__global {kind}* {name}" for name in (*given.values(), *targets.values())]
    inner = a.shape[0] if turned_a else a.shape[1]
    shape = Product(*first.output.shape, inner, turned_a, turned_b, dtype, tuple(parameters), " ".join(lines))
    launch = generate(shape, device)
    places = [code.places[value] for value in (a, b, *given, *targets)]
    reads, writes = spans(places[: 2 + len(given)]), spans([code.places[value] for value in outputs])
    return Task(1, "", reads, writes, Own(launch, tuple(places)))
