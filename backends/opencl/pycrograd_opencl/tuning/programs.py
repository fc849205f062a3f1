"""What of a program is tuned: its products, and what its step is known by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.program import Instruction, Program
from pycrograd_opencl.compiled.row_ops import PRODUCTS
from pycrograd_opencl.gemm.product import Product


def products(program: Program) -> list[Product]:
    """The different products of a program, the largest first."""
    return sorted(dict.fromkeys(products_of(optimise(program).instructions)), key=lambda product: -product.flops)


def products_of(steps: Iterable[Instruction]) -> Iterator[Product]:
    """The products among instructions, in order."""
    for step in steps:
        found = _product(step)
        if found is not None and found.flops:
            yield found


def key(program: Program) -> str:
    """What a step after the passes has in common with its loops, which select rows first: kernels, shapes and dtypes.

    What decides how long it takes is in it. What the numbers are is not.
    """
    return hashlib.sha256("\n".join(sorted(map(_line, _of_the_step(program)))).encode()).hexdigest()[:32]


def description(program: Program) -> dict[str, object]:
    """For readers of a file that has only its key."""
    steps = list(_of_the_step(program))
    counted = Counter(product.shape for product in products_of(steps))
    return {
        "products": [f"{times} × {shape}" if times > 1 else shape for shape, times in counted.items()],
        "instructions": len(steps),
    }


def _of_the_step(program: Program) -> Iterator[Instruction]:
    """The instructions of a step, without a loop's selection of the rows that the step is for."""
    arguments = set(program.arguments)
    for step in program.instructions:
        selects = step.op.name == "take_rows" and step.inputs[0] in arguments and step.inputs[1] in program.stacked
        if not selects:
            yield step


def _line(step: Instruction) -> str:
    found = _product(step)
    shapes = " ".join(f"{rows}×{cols}" for rows, cols in (value.shape for value in (*step.inputs, step.output)))
    return f"{step.op.name} {step.output.dtype} {shapes} {found.shape if found else ''}"


def _product(step: Instruction) -> Product | None:
    if step.op.name not in PRODUCTS:
        return None
    first = step.inputs[0]
    a, b = (bool(step.params.get(name)) for name in ("transpose_a", "transpose_b"))
    return Product(*step.output.shape, first.shape[0] if a else first.shape[1], a, b, step.output.dtype)
