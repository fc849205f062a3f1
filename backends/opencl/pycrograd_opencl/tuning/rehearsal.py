"""A training step with numbers to run on, as a loop over rows of data, which is how it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.capture.loop import looped
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.program import Program, Value
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_opencl.compiled.homes import gather
from pycrograd_opencl.compiled.row_ops import PRODUCTS
from pycrograd_opencl.compiled.run import Run
from pycrograd_opencl.compiled.schedule import Schedule, schedule
from pycrograd_opencl.compiled.settings import Settings
from pycrograd_opencl.matrix import OpenCLMatrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 64  # of a call at most
CHECKED = 3  # steps whose results are compared
SAMPLES = 1024  # rows of data
CLOSE = 1 << 12  # roundings, of what changes most in a matrix, within which results are the same
NEAR = 0.05  # the same where rounding has put a few numbers on the other side of a kink, such as that of a relu
FEW = 0.02  # of the numbers of a matrix

Numbers = Mapping[Value, "NDArray[Any]"]


class Rehearsal:
    """A step on a device. Each call begins from the same states, and `order` says which rows each step takes.

    `numbers` are what the program's states and feeds hold, and for each argument the rows of all data.
    """

    def __init__(self, program: Program, matrix: type[OpenCLMatrix], numbers: Numbers) -> None:
        self._matrix = matrix
        self._data = [self._held(numbers[value], value.dtype) for value in program.arguments]
        states = {value: self._held(numbers[value], value.dtype) for value in program.states}
        feeds = {value: partial(_drawn, numbers[value]) for value in program.feeds}
        rows = program.arguments[0].shape[0]
        placed = replace(program, matrix=matrix, states=states, feeds=feeds)
        self.program = optimise(looped(placed, rows, [numbers[value].shape for value in program.arguments]))
        self.order = np.random.default_rng(0).integers(0, self._data[0].shape[0], (STEPS, rows))
        self._starts = {value: self._held(numbers[value], value.dtype) for value in program.states}
        self._before = [np.zeros(1), *(numbers[value] for value in program.states)]
        self._schedules: dict[Settings, Schedule] = {}
        gather(matrix.runtime, states.values())

    def schedule(self, settings: Settings) -> Schedule:
        """What settings make of the step."""
        if settings not in self._schedules:
            self._schedules[settings] = schedule(self.program, self._matrix.runtime.device, settings)
        return self._schedules[settings]

    def build(self, settings: Settings) -> Run:
        """The loop, compiled. Raises BackendError if the device takes no such thing."""
        return Run(self.program, self.schedule(settings), self._matrix)

    def seconds(self, run: Run, steps: int) -> float:
        """How long one call of so many steps takes."""
        self._begin()
        arguments = self._arguments(steps)
        self._matrix.synchronize()
        start = time.perf_counter()
        run(*arguments)
        self._matrix.synchronize()
        return time.perf_counter() - start

    def outcome(self, run: Run) -> list[NDArray[Any]]:
        """The outputs of some steps, and the states after them."""
        self._begin()
        outputs = run(*self._arguments(CHECKED))
        return [np.asarray(matrix.to_host()) for matrix in (*outputs, *self.program.states.values())]

    def agree(self, found: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> bool:
        """Whether two outcomes are the same within rounding, which is seen best in what changes."""
        outputs = len(expected) - len(self._before) + 1
        before = [*self._before[:1] * outputs, *self._before[1:]]
        return all(map(close, found, expected, before))

    def _begin(self) -> None:
        for value, start in self._starts.items():
            self.program.states[value].assign(start)

    def _arguments(self, steps: int) -> list[OpenCLMatrix]:
        return [*self._data, self._held(self.order[:steps].reshape(-1, 1), INDEX_DTYPE)]

    def _held(self, array: NDArray[Any], dtype: str) -> Any:
        rows, cols = array.shape
        return self._matrix.from_host(np.ascontiguousarray(array, dtype), rows, cols, dtype)


def random_numbers(program: Program) -> dict[Value, NDArray[Any]]:
    """Numbers on which a step computes as on real ones: neither too large nor too small, and valid as indices.

    What a product multiplies with, or rows are taken from, are weights. Any other state may be a rate, a variance or a
    gain: it is small and positive.
    """
    draw = np.random.default_rng(0)
    steps = list(optimise(program).instructions)
    weights = {value for step in steps if step.op.name in (*PRODUCTS, "take_rows") for value in step.inputs[:2]}
    found: dict[Value, NDArray[Any]] = {}
    for value, bound in zip(program.arguments, _bounds(program), strict=True):
        shape = (SAMPLES, value.shape[1])
        found[value] = draw.integers(0, bound, shape) if value.dtype == INDEX_DTYPE else draw.standard_normal(shape)
    for value in program.states:
        if value in weights:
            found[value] = draw.standard_normal(value.shape, np.float32) * np.sqrt(2 / max(1, value.shape[0]))
        else:
            found[value] = draw.uniform(0.05, 0.15, value.shape) * (0.2 if value.size == 1 else 1)
    for value in program.feeds:
        found[value] = draw.integers(0, 2, value.shape)  # masks
    return {value: np.asarray(array, value.dtype) for value, array in found.items()}


def _bounds(program: Program) -> list[int]:
    """For each argument, what it must be below if it holds indices."""
    found = {value: [1 << 30] for value in program.arguments}
    for step in program.instructions:
        for position in step.op.indices:
            if step.inputs[position] in found and step.op.index_bound is not None:
                found[step.inputs[position]].append(step.op.index_bound(*step.inputs, **step.params))
    return [min(bounds) for bounds in found.values()]


def _drawn(numbers: NDArray[Any], _rows: int, _cols: int) -> NDArray[Any]:
    return numbers


def close(found: NDArray[Any], expected: NDArray[Any], before: NDArray[Any]) -> bool:
    """Whether two matrices are the same within the rounding of what changed since `before`."""
    if not expected.size or expected.dtype.kind != "f":
        return bool(np.array_equal(found, expected))
    precision = np.finfo(expected.dtype).eps
    error = np.abs(found - expected)
    change, rounding = np.abs(expected - before).max(), 8 * precision * np.abs(expected).max()
    same = error <= CLOSE * precision * change + rounding  # nan is not
    return bool((error <= NEAR * change + rounding).all() and np.count_nonzero(~same) <= FEW * same.size)
