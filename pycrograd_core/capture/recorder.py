"""What a trace writes down: instructions, and the inputs that they need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op

from .program import Constant, Instruction, Program, Value
from .symbolic import SymbolicMatrix, symbols


class Recorder:
    """The program under construction. `kind` is the class of symbolic matrices that record into it."""

    def __init__(self, matrix: type[Matrix]) -> None:
        self.matrix = matrix
        self.kind = symbols(self, matrix)
        self.body: list[Instruction] = []
        self.arguments: list[Value] = []
        self.states: dict[Value, Matrix] = {}
        self.feeds: dict[Value, Callable[..., Any]] = {}
        self.constants: dict[Value, Constant] = {}
        self.bounds: dict[Value, tuple[Op, int]] = {}
        self._known: dict[tuple[Constant, Shape, str], Value] = {}

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

    def feed(self, draw: Callable[..., Any], shape: Shape, dtype: str) -> Value:
        """Host data that are new in each step."""
        value = Value(shape, dtype)
        self.feeds[value] = draw
        return value

    def constant(self, content: Constant, shape: Shape, dtype: str) -> Value:
        """A value that never changes; equal ones are one."""
        key = (content, shape, dtype)
        if key not in self._known:
            value = self._known[key] = Value(shape, dtype)
            self.constants[value] = content
        return self._known[key]

    def require(self, source: Value, op: Op, bound: int) -> None:
        """The indices in an input must be below a bound."""
        if source not in self.bounds or bound < self.bounds[source][1]:
            self.bounds[source] = (op, bound)

    def program(self, outputs: Sequence[SymbolicMatrix], places: Sequence[tuple[Value, SymbolicMatrix]]) -> Program:
        """What was recorded. `places` are the arguments and states, each with the matrix that stands for its memory."""
        read = {value for instruction in self.body for value in instruction.inputs}
        updates = {value: place.current for value, place in places if place.current is not value}
        results = {output.current for output in outputs} | set(updates.values())
        wanted = read | results | updates.keys()
        return Program(
            self.matrix,
            tuple(self.arguments),
            tuple(self.body),
            tuple(output.current for output in outputs),
            {value: matrix for value, matrix in self.states.items() if value in wanted},
            dict(self.feeds),
            {value: constant for value, constant in self.constants.items() if value in wanted},
            updates,
        )


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
