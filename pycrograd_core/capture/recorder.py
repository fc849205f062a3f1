"""What a trace writes down: instructions, and the inputs that they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pycrograd_core.autograd import MODE, Watch
from pycrograd_core.errors import CaptureError, Shape
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op

from .misuse import KEPT, OTHER_THREAD
from .program import Constant, Instruction, Program, Value
from .symbolic import SymbolicMatrix, symbols


class Recorder:
    """The program under construction. `kind` is the class of symbolic matrices that record into it."""

    def __init__(self, matrix: type[Matrix]) -> None:
        self.matrix = matrix
        self.kind = symbols(self, matrix)
        self.closed = False  # once the trace is over, nothing is recorded any more
        self.owner: Watch | None = None  # the trace that records, in its thread alone
        self.refused: CaptureError | None = None  # what was raised within the step, which may have caught it
        self.body: list[Instruction] = []
        self.arguments: list[Value] = []
        self.states: dict[Value, Matrix] = {}
        self.feeds: dict[Value, Callable[[int, int], Any]] = {}
        self.constants: dict[Value, Constant] = {}
        self.bounds: dict[Value, tuple[Op, int]] = {}

    def check_open(self) -> None:
        """Raise CaptureError if the trace is over, or another thread's."""
        if self.closed:
            raise CaptureError(KEPT)
        if self.owner is not None and MODE.watch is not self.owner:
            raise CaptureError(OTHER_THREAD)

    def argument(self, shape: Shape, dtype: str) -> SymbolicMatrix:
        """A matrix that is given at each call."""
        value = Value(shape, dtype)
        self.arguments.append(value)
        return self.kind(value, sources=frozenset({value}))

    def state(self, matrix: Matrix) -> SymbolicMatrix:
        """A matrix that lives on between calls."""
        value = Value(matrix.shape, matrix.dtype)
        self.states[value] = matrix
        return self.kind(value, sources=frozenset({value}))

    def feed(self, draw: Callable[[int, int], Any], shape: Shape, dtype: str) -> Value:
        """Host data that are new in each step."""
        value = Value(shape, dtype)
        self.feeds[value] = draw
        return value

    def constant(self, content: Constant, shape: Shape, dtype: str) -> Value:
        """A value that never changes."""
        value = Value(shape, dtype)
        self.constants[value] = content
        return value

    def require(self, source: Value, op: Op, bound: int) -> None:
        """The indices in an input must be below a bound. A constant is checked now, others at each call."""
        if source in self.constants:
            self.constants[source].made(self.matrix, source).check_indices(op, bound)
            return
        if source not in self.bounds or bound < self.bounds[source][1]:
            self.bounds[source] = (op, bound)

    def program(self, outputs: Sequence[SymbolicMatrix], places: Sequence[tuple[Value, SymbolicMatrix]]) -> Program:
        """What was recorded. `places` are the arguments and states, each with the matrix that stands for its memory."""
        body, constants = _merged(self.body, self.constants)
        read = dict.fromkeys(value for instruction in body for value in instruction.inputs)
        changed = {value: place.current for value, place in places if place.current is not value}
        updates = {value: changed[value] for value in dict.fromkeys([*read, *changed]) if value in changed}
        # in the order of their use, which is that of the next trace, though that finds what this one creates
        wanted = {**read, **updates, **dict.fromkeys([*[output.current for output in outputs], *updates.values()])}
        return Program(
            self.matrix,
            tuple(self.arguments),
            tuple(body),
            tuple(output.current for output in outputs),
            {value: self.states[value] for value in wanted if value in self.states},
            dict(self.feeds),
            {value: constants[value] for value in wanted if value in constants},
            updates,
        )


def _merged(
    body: list[Instruction], constants: dict[Value, Constant]
) -> tuple[list[Instruction], dict[Value, Constant]]:
    """Instructions that take equal constants from one value. (Results keep theirs.)"""
    first: dict[tuple[str | bytes, Shape, str], Value] = {}
    instead = {}
    for value, constant in constants.items():
        kept = first.setdefault((constant.bits, value.shape, value.dtype), value)
        if kept is not value:
            instead[value] = kept
    if not instead:
        return body, constants
    return [
        replace(step, inputs=tuple([instead.get(value, value) for value in step.inputs]))
        if any(value in instead for value in step.inputs)
        else step
        for step in body
    ], constants


def trace_matrices(
    function: Callable[..., Any], matrix: type[Matrix], *shapes: Shape | tuple[int, int, str]
) -> Program:
    """The program of a function of matrices, such as a decomposition: its arguments have these shapes (and dtypes)."""
    recorder = Recorder(matrix)
    arguments = [
        recorder.argument((shape[0], shape[1]), shape[2] if len(shape) == 3 else "float32") for shape in shapes
    ]
    result = function(*arguments)
    outputs = list(result) if isinstance(result, (tuple, list)) else [result]
    return recorder.program(outputs, list(zip(recorder.arguments, arguments, strict=True)))
