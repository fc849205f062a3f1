"""The trace of one call of a step: what it did to tensors, as a program, and what a replay must put in its place.

While a trace runs, each tensor that the step meets holds a symbolic matrix in place of its own. When it is over, also
by an exception, every tensor has its matrix again.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycrograd_core.autograd import MODE
from pycrograd_core.errors import BackendMismatchError, CaptureError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op
from pycrograd_core.tensor import Tensor

from .guards import LONGEST
from .misuse import CLOSED_OVER_GRADIENT, DRAWN, HISTORY, HOST_DATA, KEPT, NOT_KEPT
from .program import Program, Value
from .recorder import Recorder
from .results import Kept, Template, templated
from .symbolic import Forgotten, ShapeMatrix, SymbolicMatrix, forgotten


@dataclass(frozen=True)
class Traced:
    """What a step does.

    `program` takes the step's tensors as arguments, then the gradients of `accumulated` (which it adds to); it returns
    what `template` makes the step's result of. `held` are the tensors that the step closes over, each with its matrix.
    `gradients` says what `.grad` of a tensor (or of an argument, by its position) is afterwards: None, a tensor, or the
    number of an output. `bounds` are what the indices in an input must be below. `default` is the default backend, if
    the step made tensors on it.
    """

    program: Program
    template: Template
    held: tuple[tuple[Tensor, Matrix], ...]
    gradients: tuple[tuple[Tensor | int, Tensor | int | None], ...]
    accumulated: tuple[Tensor | int, ...]
    bounds: Mapping[Value, tuple[Op, int]]
    default: type[Matrix] | None

    @property
    def described_gradients(self) -> tuple[Any, ...]:
        """What two equal traces have in common besides the program."""

        def described(x: Tensor | int | None) -> Any:
            if isinstance(x, Tensor):
                return "forgotten" if isinstance(x.value, Forgotten) else id(x)
            return x

        return tuple((described(x), described(gradient)) for x, gradient in self.gradients)


class _Trace:
    """The watch of a thread while it traces."""

    def __init__(self, matrix: type[Matrix] | None, known: Iterable[Tensor]) -> None:
        self.recorder: Recorder | None = None
        self.kind: type[SymbolicMatrix] | None = None
        if matrix is not None:
            self._recorder(matrix)
        self.places: dict[int, tuple[Matrix, SymbolicMatrix]] = {}  # by the id of a matrix, which stands beside it
        self.held: list[tuple[Tensor, Matrix]] = []
        self.before: dict[int, tuple[Tensor, Tensor | None]] = {}  # by the id of a tensor: its gradient at the start
        self.owners: dict[int, Tensor] = {}  # by the id of a gradient: whose it is
        self.accumulated: list[Tensor] = []
        self.created: dict[int, weakref.ref[Tensor]] = {}
        self.default: type[Matrix] | None = None
        self.closed_over: set[int] = set()
        for tensor in known:
            self.closed_over.add(id(tensor))
            self._note_gradient(tensor)

    # What the tensors tell -----------------------------------------------------------------------------------------

    def meet(self, operands: Sequence[Any]) -> None:
        """Give each tensor a symbolic matrix, if it has none yet."""
        for x in operands:
            if not isinstance(x, Tensor):
                continue
            value = x.value
            if type(value) is not self.kind:
                self._lift(x, value)
            elif value.made:
                self.created[id(x)] = weakref.ref(x)

    def host(self, kind: type[Matrix], data: Any) -> type[Matrix]:
        """Host data become a constant, if nothing but the step itself can have made them."""
        if not _literal(data):
            raise CaptureError(HOST_DATA)
        if issubclass(kind, SymbolicMatrix):
            return kind
        self.default = kind
        return self._recorder(kind).kind

    # -----------------------------------------------------------------------------------------------------------------

    def _recorder(self, matrix: type[Matrix]) -> Recorder:
        if self.recorder is None:
            self.recorder = Recorder(matrix)
            self.recorder.owner = self
            self.kind = self.recorder.kind
        if matrix is not self.recorder.matrix and matrix is not ShapeMatrix:
            raise BackendMismatchError(
                f"a step for {self.recorder.matrix.backend!r} meets a tensor on {matrix.backend!r}: move one first"
            )
        return self.recorder

    def _note_gradient(self, x: Tensor) -> None:
        if id(x) not in self.before:
            self.before[id(x)] = (x, x.grad)
            if x.grad is not None:
                self.owners[id(x.grad)] = x

    def argument(self, x: Tensor) -> None:
        """Register an argument of the step. Two that share memory are one place."""
        if isinstance(x.value, SymbolicMatrix) and type(x.value) is self.kind:  # given twice
            x.value.recorder.argument(x.shape, x.dtype)
            return
        recorder = self._recorder(type(x.value))
        symbol = recorder.argument(x.shape, x.dtype)
        if x.node is not None:
            raise CaptureError(HISTORY)
        if id(x.value) not in self.places:
            self.places[id(x.value)] = (x.value, symbol)
        self._lift(x, x.value)

    def _lift(self, x: Tensor, value: Matrix) -> None:
        if isinstance(value, Forgotten):
            raise CaptureError(value.reason)
        if isinstance(value, SymbolicMatrix):
            if type(value) is self.kind:
                return
            raise CaptureError(KEPT)
        if x.node is not None:
            raise CaptureError(HISTORY)
        recorder = self._recorder(type(value))
        if id(value) not in self.places:
            owner = self.owners.get(id(x))
            if owner is not None and id(x) in self.closed_over:
                raise CaptureError(CLOSED_OVER_GRADIENT)
            if owner is None:
                symbol = recorder.state(value)
            else:
                symbol = recorder.argument(value.shape, value.dtype)
                self.accumulated.append(owner)
            symbol.written = value.written
            self.places[id(value)] = (value, symbol)
        self._note_gradient(x)
        self.held.append((x, value))
        x.value = self.places[id(value)][1]

    def restore(self) -> None:
        """Give every tensor its matrix back, and let what was kept of the others be of no use."""
        if self.recorder is not None:
            self.recorder.closed = True
        for x, value in self.held:
            x.value = value

    def restore_gradients(self) -> None:
        """Give every tensor its gradient back: the step failed."""
        for x, gradient in self.before.values():
            x.grad = gradient

    # The end -------------------------------------------------------------------------------------------------------

    def written(self, x: Tensor) -> bool:
        """Whether the step wrote to a tensor that it was given or closed over."""
        value = x.value
        return isinstance(value, SymbolicMatrix) and not value.made and value.current is not value.first

    def gradients(self, outputs: list[SymbolicMatrix]) -> list[tuple[Tensor, Tensor | int | None]]:
        """What became of the gradients. Those that are to be kept are appended to the outputs."""
        found: list[tuple[Tensor, Tensor | int | None]] = []
        for x, before in self.before.values():
            after = x.grad
            if after is before:
                continue
            if after is None or not isinstance(after.value, SymbolicMatrix):
                found.append((x, after))
            elif self.written(x):
                found.append((x, Tensor.of(forgotten(x.shape, x.dtype, NOT_KEPT))))
            else:
                found.append((x, len(outputs)))
                outputs.append(after.value)
        return found

    def adopt_created(self) -> None:
        """Tensors that the step created and that live on (what an optimiser remembers) become states."""
        recorder = self.recorder
        if recorder is None:
            return
        adopted: dict[Value, Matrix] = {}
        for reference in self.created.values():
            x = reference()
            if x is None or not isinstance(x.value, SymbolicMatrix):
                continue
            symbol = x.value
            if symbol.first not in adopted:
                value = recorder.constants.pop(symbol.first).made(recorder.matrix, symbol.first)
                adopted[symbol.first] = recorder.states[symbol.first] = value
                self.places[id(value)] = (value, symbol)
            self.held.append((x, adopted[symbol.first]))

    def program(self, outputs: list[SymbolicMatrix]) -> Program:
        """What was recorded, with the writes to what was given or closed over."""
        recorder = self.recorder
        assert recorder is not None
        symbols = {symbol.first: symbol for _, symbol in self.places.values()}
        return recorder.program(
            outputs, [(value, symbols[value]) for value in (*recorder.arguments, *recorder.states) if value in symbols]
        )


def trace(
    function: Callable[..., Any],
    arguments: Sequence[Tensor],
    call: Callable[[Callable[..., Any]], Any] | None = None,
    *,
    matrix: type[Matrix] | None = None,
    known: Iterable[Tensor] = (),
) -> Traced:
    """Run a step on symbolic matrices. Nothing is computed, and no tensor changes its values.

    `arguments` are the step's tensors; `call(function)` calls it with them (by default one after the other). `known`
    are leaves that the step is expected to meet, so that it is noticed what it does to their gradients before it uses
    them. Raises CaptureError for what a replay could not repeat.
    """
    recording = _Trace(matrix, known)
    MODE.watch = recording
    finished, drawn = False, _random_state()
    try:
        for x in arguments:
            recording.argument(x)
        result = call(function) if call else function(*arguments)
        positions = {id(x): position for position, x in reversed(list(enumerate(arguments)))}
        kept = {id(x): Kept(x, positions.get(id(x))) for x, _ in recording.held}
        places = {id(symbol): value for value, symbol in recording.places.values()}
        template, outputs = templated(result, kept, places, [x.value for x in arguments])
        del result, kept
        gradients = recording.gradients(outputs)
        if recording.recorder is None:
            raise CaptureError("the step used no tensor: there is nothing to capture")
        if recording.recorder.refused is not None:
            raise recording.recorder.refused  # the step caught it, and went on with something else
        if drawn != _random_state():
            raise CaptureError(DRAWN)
        recording.adopt_created()
        finished = True
    finally:
        MODE.watch = None
        if not finished:
            recording.adopt_created()  # what an optimiser began to remember: with the values of its first moment
            recording.restore_gradients()
        recording.restore()
    for x, before in recording.before.values():
        x.grad = before  # the first replay sets them
    return Traced(
        recording.program(outputs),
        template,
        tuple([(x, value) for x, value in recording.held if id(x) not in positions]),
        tuple([(positions.get(id(x), x), gradient) for x, gradient in gradients]),
        tuple([positions.get(id(x), x) for x in recording.accumulated]),
        recording.recorder.bounds,
        recording.default,
    )


def _random_state() -> tuple[Any, ...]:
    """Where the generators that a step may draw from by mistake are."""
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2]


def _literal(data: Any) -> bool:
    """Whether data are numbers that may stand in the step, or a list of such: short enough that guards watch it."""
    if isinstance(data, (list, tuple)):
        return len(data) <= LONGEST and all(map(_literal, data))
    return isinstance(data, (int, float)) or (hasattr(data, "item") and getattr(data, "ndim", 1) == 0)
