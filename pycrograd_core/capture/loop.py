"""Many steps as one program: each takes its rows of data that stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.errors import BackendMismatchError, CaptureError, DataError, Shape
from pycrograd_core.op import INDEX_DTYPE, TABLE
from pycrograd_core.tensor import Tensor

from .program import Instruction, Program, Value
from .replay import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def row_numbers(rows: Any, data: Sequence[Tensor], each: Sequence[Tensor]) -> NDArray[Any]:
    """Steps × batch integers within the data. Raises DataError, BackendMismatchError, CaptureError."""
    numbers = rows.host() if isinstance(rows, Tensor) else np.asarray(rows)
    if numbers.ndim != 2 or numbers.dtype.kind not in "iu" or not numbers.size:
        raise DataError("`rows` must be integers, steps × batch, of at least one step")
    if not data or len({x.rows for x in data}) > 1:
        raise DataError("scan() takes data of equally many rows")
    if numbers.min() < 0 or numbers.max() >= data[0].rows:
        raise DataError(f"`rows` must be row numbers of the data, 0 … {data[0].rows - 1}")
    if any(x.rows != len(numbers) for x in each):
        found = next(x.rows for x in each if x.rows != len(numbers))
        raise DataError(f"`each` holds a row for each of the {len(numbers)} steps; got {found} rows")
    if len({type(x.value) for x in (*data, *each)}) > 1:
        raise BackendMismatchError("scan() takes data on one backend and device: move one first")
    if any(x.requires_grad for x in (*data, *each)):
        raise CaptureError("scan() gives its data no gradients: detach() them, or call the step")
    return numbers
