"""Many steps as one program: each takes its rows of data that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.op import INDEX_DTYPE, TABLE

from .program import Instruction, Program, Value
from .replay import Run


def looped(program: Program, rows: int, data: Sequence[Shape]) -> Program:
    """The loop of a step whose first arguments are `rows` rows of data of these shapes.

    It takes the whole data, then what differs from step to step otherwise, stacked, then the numbers of the rows of
    each step, stacked as one column.
    """
    take = TABLE["take_rows"]
    numbers = Value((rows, 1), INDEX_DTYPE)
    batches, others = program.arguments[: len(data)], program.arguments[len(data) :]
    whole = [Value(shape, batch.dtype) for shape, batch in zip(data, batches, strict=True)]
    selections = [Instruction(take, (every, numbers), {}, batch) for every, batch in zip(whole, batches, strict=True)]
    return replace(
        program,
        arguments=(*whole, *others, numbers),
        body=(*selections, *program.body),
        stacked=frozenset((*others, numbers)),
    )


def repeated(program: Program, step: Run) -> Run:
    """The loop in Python around a compiled step, where a backend compiles none."""
    heights = [value.shape[0] if value in program.stacked else None for value in program.arguments]
    numbers = len(heights) - 1  # the numbers of the rows are stacked in every loop

    def run(*arguments: Any) -> Sequence[Any]:
        collected: list[Sequence[Any]] = []
        height = heights[numbers]
        assert height is not None
        for number in range(arguments[numbers].rows // height):
            given = [
                x if height is None else x.slice(number * height, (number + 1) * height, 0, x.cols)
                for x, height in zip(arguments, heights, strict=True)
            ]
            collected.append(step(*given))
        return [parts[0].concat(*parts[1:], axis=0) for parts in zip(*collected, strict=True)]

    return run
