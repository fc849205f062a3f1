"""One program of a captured step: when it holds, and how a call runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pycrograd_core.autograd import CLOCK
from pycrograd_core.matrix import Matrix
from pycrograd_core.plugins import default_backend
from pycrograd_core.tensor import Tensor

from .guards import Guards
from .replay import Run
from .trace import Traced


class Entry:
    """A trace, and what the world must look like for it to be repeated.

    `empty` says of which tensors the gradient was None when the step began. `loops` are compiled loops, by the shapes
    of their data.
    """

    def __init__(
        self, traced: Traced, guards: Guards, tensors: Sequence[Tensor], empty: Sequence[tuple[Tensor, bool]]
    ) -> None:
        program = traced.program
        self.traced = traced
        self.guards = guards
        self.confirmed = self.called = False
        self.run: Run | None = None
        self.direct: Callable[..., Any] | None = None  # a call as straight-line code, once there was one
        self.loops: dict[Any, Run] = {}
        self.signature = (program.signature(), traced.template.description, traced.described_gradients)
        self.held = [(x, matrix, x.requires_grad, tuple(x.hooks or ())) for x, matrix in traced.held]
        self.empty = list(empty)
        met = {id(x) for x, _ in traced.held}
        self.flags = [(x, x.requires_grad) for x in guards.tensors if id(x) not in met]
        self.states = {id(matrix) for _, matrix in traced.held}
        self._shared = {i: id(x.value) for i, x in enumerate(tensors) if id(x.value) in self.states}
        count = len(program.arguments)
        positions = {value: position for position, value in enumerate(program.arguments)}
        self.written = [program.states[value] for value in program.updates if value in program.states]
        self._written_arguments = [positions[value] for value in program.updates if value in positions]
        self.bounds = [
            (positions.get(value), program.states.get(value), *bound) for value, bound in traced.bounds.items()
        ]
        assert count == len(tensors) + len(traced.accumulated)

    def holds(self, tensors: Sequence[Tensor]) -> bool:
        """Whether a replay would do what running the step would."""
        for x, matrix, requires_grad, hooks in self.held:
            if x.value is not matrix or x.requires_grad is not requires_grad or tuple(x.hooks or ()) != hooks:
                return False
        for x, was_empty in self.empty:
            if (x.grad is None) is not was_empty:
                return False
        for x, requires_grad in self.flags:
            if x.requires_grad is not requires_grad:
                return False
        if any((tensors[x] if isinstance(x, int) else x).grad is None for x in self.traced.accumulated):
            return False
        if self.traced.default is not None and default_backend() is not self.traced.default:
            return False
        if self._shared or not self.states.isdisjoint([id(x.value) for x in tensors]):
            found = {i: id(x.value) for i, x in enumerate(tensors) if id(x.value) in self.states}
            if found != self._shared:
                return False
        return self.guards.hold()

    def merge(self, other: Entry) -> None:
        """The same program came of another state of Python, or of the gradients: it is confirmed, and serves both."""
        self.run, self.loops = other.run, other.loops
        self.confirmed = True
        before = {id(x): was_empty for x, was_empty in other.empty}
        self.empty = [(x, was_empty) for x, was_empty in self.empty if before.get(id(x), was_empty) is was_empty]

    def check_bounds(self, arguments: Sequence[Matrix]) -> None:
        """Raise IndexRangeError for labels or row numbers that are out of range."""
        for position, state, op, bound in self.bounds:
            (state if position is None else arguments[position]).check_indices(op, bound)  # type: ignore[union-attr]

    def check_rows(self, data: Sequence[Tensor], each: Sequence[Tensor], indices: Tensor) -> None:
        """As `check_bounds` for a loop: of the data, the rows that it uses count."""
        for position, state, op, bound in self.bounds:
            if position is None:
                state.check_indices(op, bound)  # type: ignore[union-attr]
            elif position >= len(data):
                each[position - len(data)].value.check_indices(op, bound)
            else:
                limits = data[position].value.limits
                if limits is None or limits[0] < 0 or limits[1] >= bound:
                    chosen = data[position].take_rows(indices).value
                    chosen.limits = None  # those of all rows
                    chosen.check_indices(op, bound)

    def call(self, run: Run, tensors: Sequence[Tensor]) -> Any:
        """One step."""
        self.called = True
        arguments = [x.value for x in tensors]
        for owner in self.traced.accumulated:
            gradient = (tensors[owner] if isinstance(owner, int) else owner).grad
            assert gradient is not None
            arguments.append(gradient.value)
        if self.bounds:
            self.check_bounds(arguments)
        self.note_written([arguments[position] for position in self._written_arguments])
        outputs = run(*arguments)
        self.set_gradients(outputs, tensors)
        return self.traced.template.build(outputs, tensors)

    def note_written(self, others: Sequence[Matrix] = ()) -> None:
        """Tell the engine what is overwritten: a graph recorded before must not use it any more.

        That is said before the step runs: an interrupt may leave a part of it done.
        """
        CLOCK.now += 1
        for matrix in (*self.written, *others) if others else self.written:
            matrix.written = CLOCK.now
            matrix.limits = None

    def set_gradients(self, outputs: Sequence[Any], tensors: Sequence[Tensor]) -> None:
        """Give every tensor the gradient that the step would have left it with."""
        for x, gradient in self.traced.gradients:
            target = tensors[x] if isinstance(x, int) else x
            target.grad = Tensor.of(outputs[gradient]) if isinstance(gradient, int) else gradient

    @property
    def plain(self) -> bool:
        """Whether a call does nothing to its arguments, and needs nothing of earlier gradients."""
        others = any(isinstance(x, int) for x, _ in self.traced.gradients)
        default = self.traced.default is not None
        return not (default or others or self.traced.accumulated or self._written_arguments or self._shared)

    @property
    def repeatable(self) -> bool:
        """Whether many steps can run as one program: what they leave behind is in states alone, and no index there."""
        kept = any(isinstance(gradient, int) for _, gradient in self.traced.gradients)
        indices = any(state is written for _, state, *_ in self.bounds for written in self.written)
        refers = self.traced.template.refers
        return not (kept or indices or refers or self.traced.accumulated or self._written_arguments)
