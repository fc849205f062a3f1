"""The core's own replay of a program: op by op, by the backend's kernels, into buffers that are planned once.

It is what runs where a backend's `compile` returns None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycrograd_core.matrix import Matrix

from .program import Constant, Program, Value

Run = Callable[..., Sequence[Any]]


def replay(program: Program) -> Run:
    """A function of a matrix for each argument that returns a new matrix for each output."""
    kernels = program.matrix.kernels
    numbers = {value: number for number, value in enumerate(program.inputs)}
    steps = []
    for step in program.instructions:
        numbers[step.output] = len(numbers)
        steps.append((kernels[step.op], [numbers[value] for value in step.inputs], dict(step.params)))
    memory: list[Any] = [None] * len(program.inputs)
    for value, state in program.states.items():
        memory[numbers[value]] = state
    for value, constant in program.constants.items():
        memory[numbers[value]] = _made(program.matrix, value, constant)
    feeds = [(numbers[value], value, draw) for value, draw in program.feeds.items()]
    inputs = {numbers[value] for value in program.inputs}
    outputs = [numbers[value] for value in program.outputs]
    updates = [(numbers[target], numbers[value]) for target, value in program.updates.items()]
    count = len(program.arguments)

    def run(*arguments: Any) -> list[Any]:
        values = list(memory)
        values[:count] = arguments
        for number, value, draw in feeds:
            values[number] = program.matrix.from_feed(draw, *value.shape, value.dtype)
        for kernel, operands, params in steps:
            values.append(kernel(*[values[operand] for operand in operands], **params))
        results = [_copy(values[number]) for number in outputs]
        written = [_copy(values[number]) if number in inputs else values[number] for _, number in updates]
        for (target, _), value in zip(updates, written, strict=True):
            values[target].assign(value)
            values[target].limits = None
        return results

    return run


def _made(matrix: type[Matrix], value: Value, constant: Constant) -> Matrix:
    if isinstance(constant.content, bytes):
        return matrix.from_host(constant.content, *value.shape, value.dtype)
    return matrix.full(*value.shape, constant.content, value.dtype)


def _copy(matrix: Any) -> Any:
    """The same values in memory of their own: whoever gets them may keep them."""
    return matrix.reshape(*matrix.shape)
