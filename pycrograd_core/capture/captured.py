"""capture: a step that is traced when it is first called, and from then on replayed."""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import MODE
from pycrograd_core.errors import CaptureError, DataError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.plugins import default_backend
from pycrograd_core.tensor import Tensor

from .arguments import Given, flatten
from .compare import difference
from .compiled import compiled
from .direct import DECLINED, direct
from .entry import Entry
from .guards import collect
from .loop import looped
from .replay import Run
from .results import stacked
from .symbolic import placeholder
from .trace import trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .program import Program

MOST_PROGRAMS = 64

CHANGES = (
    "the step computed something else when it was called again, though nothing that it is known to depend on had "
    "changed: {difference}. A replay would repeat one of the two forever. Pass what changes as an argument, keep it "
    "in a tensor that the step closes over and assign() to that, or draw it with Tensor.like_drawn"
)


def capture(function: Callable[..., Any]) -> Captured:
    """Trace a step once and replay it at the speed of the machine; usable as a decorator.

    The step may close over tensors (parameters, an optimiser); its arguments are tensors or host arrays (labels:
    integers), and it returns tensors. It is traced anew for other shapes, dtypes, or numbers and switches in Python
    that it depends on, and what cannot be repeated faithfully raises CaptureError. Python code in it runs only while it
    is traced: twice for each program, since a program is trusted when a second trace gave the same.
    """
    return Captured(function)


class Captured:
    """A captured step. `programs` are those that it was traced to so far, `compile_seconds` what that took."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.programs: list[Program] = []
        self.traces = 0
        self.compile_seconds = 0.0
        self._entries: dict[Any, list[Entry]] = {}
        self._runs: dict[Any, Run] = {}
        self._lock = threading.RLock()
        self._direct: Callable[..., Any] = _decline  # the latest call as straight-line code
        self._direct_arguments = -1
        self._methods: weakref.WeakKeyDictionary[Any, Captured] = weakref.WeakKeyDictionary()

    def __get__(self, instance: Any, owner: type | None = None) -> Captured:
        """As a method: each instance has a step of its own."""
        if instance is None:
            return self
        if instance not in self._methods:
            self._methods[instance] = Captured(self.function.__get__(instance, owner))
        return self._methods[instance]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """One step. Inside the trace of another captured step it is a part of that."""
        with self._lock:
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
            call = direct(entry, given.tensors, MODE.recording)
            self._direct, self._direct_arguments = (call, len(given.tensors)) if call else (_decline, -1)
        return entry.call(entry.run, given.tensors)

    def scan(self, *data: Any, rows: Any, each: Sequence[Any] = ()) -> Any:
        """Many steps in one call, each on its own rows of data that are on the device: what each returned, stacked.

        `rows` are integers, steps × batch: step i is called with rows[i] of each of `data`. What differs from step to
        step otherwise is in `each`, steps × n: step i is also called with row i of each, as 1 × n. Returns what the
        step does, with the tensors of all steps one below the other: of a 1×1 loss, steps × 1.
        """
        if MODE.watch is not None:
            raise CaptureError("scan() inside a captured step: call the step itself, in a Python loop")
        with self._lock:
            tensors = [x if isinstance(x, Tensor) else self._uploaded(x) for x in (*data, *each)]
            return self._scan(tensors[: len(data)], _row_numbers(rows, tensors[: len(data)]), tensors[len(data) :])

    def _scan(self, data: list[Tensor], rows: NDArray[Any], each: list[Tensor]) -> Any:
        steps, batch = rows.shape
        kind = type(data[0].value)
        for x in each:
            if x.rows != steps:
                raise DataError(f"`each` holds a row for each of the {steps} steps; got {x.rows} rows")
        shapes = [((batch, x.cols), x.dtype) for x in data] + [((1, x.cols), x.dtype) for x in each]
        given = Given(
            [Tensor.of(placeholder(shape, dtype)) for shape, dtype in shapes],
            (tuple([(shape, dtype, kind) for shape, dtype in shapes]), None),
            None,
            kind,
        )
        entry = self._entry(given)
        if not entry.loops:
            return self._one_by_one(data, rows, each)
        if not entry.confirmed and steps > 1:
            entry.set_gradients((), given.tensors)  # as they will be when the second step begins
            entry.called = True
            entry = self._entry(given)
        if any(x.value is written for x in (*data, *each) for written in entry.written):
            raise CaptureError("the data of scan() are written to by the step: give it a copy")
        entry.check_bounds([x.value for x in (*data, *each)])
        program = looped(entry.traced.program, batch, [x.shape for x in data])
        outputs = self._compiled(program)(
            *[x.value for x in data], *[x.value for x in each], data[0].like_indices(rows.reshape(-1, 1)).value
        )
        entry.note_written()
        entry.set_gradients((), given.tensors)
        return entry.traced.template.build(outputs, given.tensors)

    def _one_by_one(self, data: list[Tensor], rows: NDArray[Any], each: list[Tensor]) -> Any:
        """A step that keeps gradients, or hands out its arguments: one call after the other."""
        results = []
        for number, chosen in enumerate(rows):
            indices = data[0].like_indices(chosen.reshape(-1, 1))
            results.append(self(*[x.take_rows(indices) for x in data], *[x[number : number + 1] for x in each]))
        return stacked(results)

    # Programs ------------------------------------------------------------------------------------------------------

    def _uploaded(self, array: Any) -> Tensor:
        """A host array where the step's tensors live: integers as indices, other numbers in the step's dtype."""
        whole = np.asarray(array).dtype.kind in "iu"
        like = next((x for x in collect(self.function).tensors if x.dtype != INDEX_DTYPE), None)
        if like is None:
            return Tensor(array, backend=default_backend().backend, dtype=INDEX_DTYPE if whole else "float32")
        return like.like_indices(array) if whole else like.like(array)

    def _entry(self, given: Given) -> Entry:
        """The program for a call: traced if there is none, and once more before it is trusted."""
        entries = self._entries.setdefault((given.key, MODE.recording), [])
        for entry in entries:
            if entry.holds(given.tensors):
                if not entry.confirmed and entry.called:
                    self._confirm(entry, given)
                return entry
        entry = self._trace(given)
        twin = next((other for other in entries if other.signature == entry.signature), None)
        if twin is not None:
            entry.merge(twin)
            entries.remove(twin)
        else:
            if len(self.programs) >= MOST_PROGRAMS:
                raise CaptureError(
                    f"the step was traced to {MOST_PROGRAMS} different programs, because numbers in Python that it "
                    "depends on keep changing: pass them as tensors, or as arrays"
                )
            self.programs.append(entry.traced.program)
        entries.append(entry)
        return entry

    def _trace(self, given: Given) -> Entry:
        start = time.perf_counter()
        known = collect(self.function).tensors
        empty = {id(x): x.grad is None for x in known}
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
        """The compiled program; two that compute the same from the same states are one."""
        signature = program.signature()
        if signature not in self._runs:
            start = time.perf_counter()
            self._runs[signature] = compiled(program)
            self.compile_seconds += time.perf_counter() - start
        return self._runs[signature]


def _decline(*_args: Any) -> Any:
    return DECLINED


def _row_numbers(rows: Any, data: Sequence[Tensor]) -> NDArray[Any]:
    """Steps × batch integers within the data. Raises DataError."""
    numbers = rows.host() if isinstance(rows, Tensor) else np.asarray(rows)
    if numbers.ndim != 2 or numbers.dtype.kind not in "iu" or not numbers.size:
        raise DataError("`rows` must be integers, steps × batch, of at least one step")
    if not data or len({x.rows for x in data}) > 1:
        raise DataError("scan() takes data of equally many rows")
    if numbers.min() < 0 or numbers.max() >= data[0].rows:
        raise DataError(f"`rows` must be row numbers of the data, 0 … {data[0].rows - 1}")
    if any(x.requires_grad for x in data):
        raise CaptureError("scan() gives its data no gradients: detach() them, or call the step")
    return numbers
