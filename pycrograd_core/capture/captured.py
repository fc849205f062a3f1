"""capture: a step that is traced when it is first called, and from then on replayed."""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import CLOCK, MODE
from pycrograd_core.errors import CaptureError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.plugins import default_backend
from pycrograd_core.tensor import Tensor

from .arguments import Given, flatten
from .compare import difference
from .compiled import compiled
from .direct import DECLINED, direct
from .entry import Entry
from .guards import collect
from .loop import looped, row_numbers
from .misuse import CHANGES, KEEPS_CHANGING
from .replay import Run
from .results import copied, stacked
from .symbolic import placeholder
from .trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .program import Program

MOST_PROGRAMS = 64  # that are kept, and that may be traced in a row without one replay

_turns = threading.RLock()  # of all captured steps: while one is traced, tensors that others use hold no numbers


def capture(function: Callable[..., Any]) -> Captured:
    """Trace a step once and replay it at the speed of the machine; usable as a decorator.

    The step may close over tensors (parameters, an optimiser); its arguments are tensors or host arrays (labels:
    integers), and it returns tensors. It is traced anew for other shapes, dtypes, or numbers and switches in Python
    that it depends on, and what cannot be repeated faithfully raises CaptureError. Python code in it runs only while it
    is traced: twice for each program, since a program is trusted when a second trace gave the same.
    """
    if not callable(function):
        raise TypeError(f"capture() takes a function, not a {type(function).__name__}")
    return Captured(function)


class Captured:
    """A captured step. `programs` are the newest that it was traced to, `compile_seconds` what all of them took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.programs: list[Program] = []
        self.traces = 0
        self.compile_seconds = 0.0
        self._entries: dict[Any, list[Entry]] = {}
        self._newest: list[tuple[Any, Entry]] = []
        self._in_a_row = 0  # programs traced since the last replay
        self._shapes: set[Any] = set()
        self._like: tuple[int, Tensor] | None = None
        self._direct: Callable[..., Any] = _decline  # the latest call as straight-line code
        self._direct_arguments = -1
        self._name = getattr(function, "__name__", "step")

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Captured:
        """As a method: each instance has a step of its own, kept in the instance."""
        if instance is None or not hasattr(self.function, "__get__"):
            return self
        held = getattr(instance, "__dict__", None)
        if held is None:
            raise CaptureError(
                f"{type(instance).__name__} has no __dict__ to keep a captured method in: "
                "make the step with capture(instance.method)"
            )
        name = f"_captured_{self._name}"
        if name not in held:
            held[name] = Captured(self.function.__get__(instance, owner))
        return held[name]

    def __repr__(self) -> str:
        return f"<captured {self._name}: {len(self.programs)} programs, traced {self.traces} times>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Captured:
        return Captured(copy.deepcopy(self.function, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return Captured, (self.function,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step. Inside the trace of another captured step it is a part of that."""
        with _turns:
            if len(args) == self._direct_arguments and not kwargs:
                result = self._direct(*args)
                if result is not DECLINED:
                    return result
            if MODE.watch is not None:
                return self.function(*args, **kwargs)
            return self._call(flatten(args, kwargs, self._uploaded))

    def _call(self, given: Given) -> Any:
        entry = self._entry(given)
        if entry.run is None:
            entry.run = self._compiled(entry.traced.program)
        if entry.confirmed and given.call is None:
            if entry.direct is None:  # made once: batches of two sizes may take turns
                entry.direct = direct(entry, given.tensors, MODE.recording) or _decline
            self._direct, self._direct_arguments = entry.direct, len(given.tensors)
        return entry.call(entry.run, given.tensors)

    def scan(self, *data: Any, rows: Any, each: Sequence[Any] = ()) -> Any:
        """Many steps in one call, each on its own rows of data that are on the device: what each returned, stacked.

        `rows` are integers, steps × batch: step i is called with rows[i] of each of `data`. What differs from step to
        step otherwise is in `each`, steps × n: step i is also called with row i of each, as 1 × n. Returns what the
        step does, with the tensors of all steps one below the other: of a 1×1 loss, steps × 1.
        """
        if MODE.watch is not None:
            raise CaptureError("scan() inside a captured step: call the step itself, in a Python loop")
        with _turns:
            tensors = [x if isinstance(x, Tensor) else self._uploaded(x) for x in (*data, *each)]
            chosen = row_numbers(rows, tensors[: len(data)], tensors[len(data) :])
            return self._scan(tensors[: len(data)], chosen, tensors[len(data) :])

    def _scan(self, data: list[Tensor], rows: NDArray[Any], each: list[Tensor]) -> Any:
        batch, kind = rows.shape[1], type(data[0].value)
        shapes = [((batch, x.cols), x.dtype) for x in data] + [((1, x.cols), x.dtype) for x in each]
        given = Given(
            [Tensor.of(placeholder(shape, dtype)) for shape, dtype in shapes],
            (tuple([(shape, dtype, kind) for shape, dtype in shapes]), None),
            None,
            kind,
        )
        entry = self._entry(given)
        if not entry.repeatable:
            return self._one_by_one(data, rows, each)
        if not entry.confirmed and len(rows) > 1:
            entry.set_gradients((), given.tensors)  # as they will be when the second step begins
            entry.called = True
            second = self._entry(given)
            if second.signature != entry.signature:  # the first step is unlike the others
                parts = [self._loop(entry, given, data, rows[:1], [x[:1] for x in each])]
                return stacked([*parts, self._scan(data, rows[1:], [x[1:] for x in each])])
            entry = second
        return self._loop(entry, given, data, rows, each)

    def _loop(self, entry: Entry, given: Given, data: list[Tensor], rows: NDArray[Any], each: list[Tensor]) -> Any:
        if any(x.value is written for x in (*data, *each) for written in entry.written):
            raise CaptureError("the data of scan() are written to by the step: give it a copy")
        indices = data[0].like_indices(rows.reshape(-1, 1))
        entry.check_rows(data, each, indices)
        shapes = tuple([x.shape for x in data])
        if shapes not in entry.loops:
            entry.loops[shapes] = self._compiled(looped(entry.traced.program, rows.shape[1], shapes))
        entry.called = True
        entry.note_written()
        outputs = entry.loops[shapes](*[x.value for x in data], *[x.value for x in each], indices.value)
        entry.set_gradients((), given.tensors)
        return entry.traced.template.build(outputs, given.tensors)

    def _one_by_one(self, data: list[Tensor], rows: NDArray[Any], each: list[Tensor]) -> Any:
        """A step that keeps gradients, or hands out tensors that it did not make: one call after the other."""
        results = []
        for number, chosen in enumerate(rows):
            indices = data[0].like_indices(chosen.reshape(-1, 1))
            batch = [x.take_rows(indices) for x in data]
            results.append(copied(self(*batch, *[x[number : number + 1] for x in each])))
        return stacked(results)

    # Programs ------------------------------------------------------------------------------------------------------

    def _uploaded(self, array: Any) -> Tensor:
        """A host array where the step's tensors live: integers as indices, other numbers in the step's dtype."""
        whole = np.asarray(array).dtype.kind in "iu"
        if self._like is None or self._like[0] != CLOCK.structure:
            found = [x for x in collect(self.function).tensors if x.dtype != INDEX_DTYPE]
            self._like = (CLOCK.structure, found[0]) if found else None
        if self._like is None:
            return Tensor(array, backend=default_backend().backend, dtype=INDEX_DTYPE if whole else "float32")
        like = self._like[1]
        return like.like_indices(array) if whole else like.like(array)

    def _entry(self, given: Given) -> Entry:
        """The program for a call: traced if there is none, and once more before it is trusted."""
        key = (given.key, MODE.recording)
        entries = self._entries.setdefault(key, [])
        for entry in entries:
            if entry.holds(given.tensors):
                self._in_a_row = 0
                if not entry.confirmed and entry.called:
                    self._confirm(entry, given)
                return entry
        entry = self._trace(given)
        twin = next((other for other in entries if other.signature == entry.signature), None)
        if twin is not None:
            entry.merge(twin)
            entries.remove(twin)
            self._newest = [each for each in self._newest if each[1] is not twin]
        else:
            self._count_new(given)
        entries.append(entry)
        self._newest.append((key, entry))
        if len(self._newest) > MOST_PROGRAMS:
            self._forget_oldest()
        self.programs = [each.traced.program for _, each in self._newest]
        return entry

    def _count_new(self, given: Given) -> None:
        shapes = tuple([(x.shape, x.dtype) for x in given.tensors])
        self._in_a_row = self._in_a_row + 1 if shapes in self._shapes else 0
        self._shapes.add(shapes)
        if self._in_a_row >= MOST_PROGRAMS:
            raise CaptureError(KEEPS_CHANGING.format(count=MOST_PROGRAMS))

    def _forget_oldest(self) -> None:
        key, entry = self._newest.pop(0)
        self._entries[key].remove(entry)
        if not self._entries[key]:
            del self._entries[key]

    def _trace(self, given: Given) -> Entry:
        start = time.perf_counter()
        known = collect(self.function).tensors
        empty = [(x, x.grad is None) for x in known if x.requires_grad or x.grad is not None]
        self.traces += 1
        traced = trace(self.function, given.tensors, given.call, matrix=given.matrix, known=known)
        entry = Entry(traced, collect(self.function), given.tensors, empty)
        self.compile_seconds += time.perf_counter() - start
        return entry

    def _confirm(self, entry: Entry, given: Given) -> None:
        """Trace once more, and demand the same program: it depends on nothing that was overlooked."""
        again = self._trace(given)
        if again.signature != entry.signature:
            found = difference(entry.traced.program, again.traced.program)
            raise CaptureError(CHANGES.format(difference=found))
        entry.confirmed = True

    def _compiled(self, program: Program) -> Run:
        start = time.perf_counter()
        run = compiled(program)
        self.compile_seconds += time.perf_counter() - start
        return run


def _decline(*_args: Any) -> Any:
    return DECLINED
