"""The launches of a compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from pycrograd_core.capture.program import Program, Value
from pycrograd_core.op import INDEX_DTYPE

from ..expressions import CType, preamble
from .schedule import Schedule
from .task import Own, Task, together

if TYPE_CHECKING:
    from ..matrix import OpenCLMatrix
    from ..runtime import Runtime

LOCAL = 64  # work-items of a group on a GPU, where a launch has tiles for many groups


class Run:
    """A program as a function of matrices. It works in memory of its own, so it must not run in two threads at once."""

    def __init__(self, program: Program, made: Schedule) -> None:
        self._program = program
        self._made = made
        self._matrix: type[OpenCLMatrix] = program.matrix  # type: ignore[assignment]
        self._runtime = self._matrix.runtime
        self._constants: dict[str, Any] = {}  # matrices: they live as long as this does
        self._fed: dict[str, Any] = {}
        self._launches = self._built()
        kept = self._kept()
        for launch in self._launches:
            launch.bind(kept)

    def __call__(self, *arguments: Any) -> list[Any]:
        """One step, or all steps of a loop: a new matrix for each output."""
        program, steps = self._program, self._steps(arguments)
        with self._runtime.lock:
            outputs = [
                self._matrix.empty(v.shape[0] * (steps if program.stacked else 1), v.shape[1], v.dtype)
                for v in program.outputs
            ]
            buffers = {f"x{number}": x.buffer for number, x in enumerate(arguments)}
            buffers |= {f"o{number}": x.buffer for number, x in enumerate(outputs)}
            if program.feeds:
                buffers |= self._drawn(steps)
            for launch in self._launches:
                launch.bind(buffers)
            try:
                self._launch(steps)
            except cl.Error as error:
                self._runtime.memory.exhausted(error)
        for value in program.updates:
            if value.dtype == INDEX_DTYPE:  # what limits its indices had no longer holds
                owner = program.states.get(value)
                (arguments[program.arguments.index(value)] if owner is None else owner).limits = None
        return outputs

    def _steps(self, arguments: Sequence[Any]) -> int:
        """The steps of a call: of a loop as many as it was given rows for."""
        stacked = self._program.stacked
        for x, value in zip(arguments, self._program.arguments, strict=True):
            if value in stacked:
                steps: int = x.shape[0] // value.shape[0]
                return steps
        return 1

    def _launch(self, steps: int) -> None:
        queue = self._runtime.queue
        if self._made.group:
            for launch in self._launches:
                launch.enqueue(queue, 0, steps)
            return
        for step in range(steps):
            for launch in self._launches:
                launch.enqueue(queue, step, step + 1)

    def _drawn(self, steps: int) -> dict[str, Any]:
        """What is fed, drawn for each step in turn, of all steps."""
        feeds = self._program.feeds
        drawn: dict[Value, list[Any]] = {value: [] for value in feeds}
        for _ in range(steps):
            for value, draw in feeds.items():
                drawn[value].append(self._matrix.from_feed(draw, *value.shape, value.dtype))
        self._fed = {
            self._made.places[value].base: parts[0].concat(*parts[1:], axis=0) if len(parts) > 1 else parts[0]
            for value, parts in drawn.items()
        }
        return {base: matrix.buffer for base, matrix in self._fed.items()}

    # Once ----------------------------------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        """The buffers that are the same in each call: the states, the constants, and what lies between."""
        program, made = self._program, self._made
        needed: set[str] = set().union(*[task.bases for task in made.tasks])
        buffers = {base: self._runtime.buffer(size) for base, size in made.buffers.items() if base in needed}
        if "arena" in needed:
            buffers["arena"] = self._runtime.buffer(max(made.planned.size, 1))
        for value, state in program.states.items():
            place, home = made.places[value], state.home  # type: ignore[attr-defined]
            buffers[place.name] = state.buffer  # type: ignore[attr-defined]
            if home is not None:
                buffers[place.base] = home[0]
        for base, value in made.constants.items():
            if base in needed:
                self._constants[base] = program.constants[value].made(self._matrix, value)
                buffers[base] = self._constants[base].buffer
        return buffers

    def _built(self) -> list[_Launch]:
        """The kernels, from one source but for those of their own."""
        made, groups = self._made, together(self._made.tasks)
        kernels: list[tuple[str, list[str], int]] = []
        texts = []
        if made.group:
            groups = [group for group in groups if group]
            bases = _bases(made.tasks)
            kernels.append(("steps", bases, 0))
            texts.append(_kernel("steps", bases, _in_turn(groups, made.group), made.group))
        else:
            for number, group in enumerate(groups):
                if group[0].own is None:
                    bases = _bases(group)
                    kernels.append((f"launch{number}", bases, sum(task.tiles for task in group)))
                    texts.append(_kernel(f"launch{number}", bases, _at_once(group), 0))
        double = any(value.dtype == "float64" for value in made.places)
        head = preamble(CType("double" if double else "float"))
        source = "\n".join([head, made.code.functions.source, *texts])
        runtime = self._runtime
        launches: list[_Launch] = []
        for group in groups if not made.group else [[]]:
            own = group[0].own if group else None
            if own is not None:
                launches.append(_OwnLaunch(runtime, own))
                continue
            name, bases, tiles = kernels.pop(0)
            launches.append(_TaskLaunch(runtime, source, name, bases, tiles, made.group))
        return launches


class _Launch:
    """A kernel whose arguments are set when they change."""

    def __init__(self, kernel: cl.Kernel, positions: Mapping[str, Sequence[int]]) -> None:
        self.kernel = kernel
        self._positions = positions
        self._current: dict[str, Any] = {}

    def bind(self, buffers: Mapping[str, Any]) -> None:
        """Set those arguments that it has."""
        for base, buffer in buffers.items():
            if base in self._positions and self._current.get(base) is not buffer:
                for position in self._positions[base]:
                    self.kernel.set_arg(position, buffer)
                self._current[base] = buffer

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        """Launch it for these steps of a loop."""
        raise NotImplementedError


class _TaskLaunch(_Launch):
    """Tasks that may run at once, or all tasks of all steps by one group of work-items."""

    def __init__(self, runtime: Runtime, source: str, name: str, bases: list[str], tiles: int, group: int) -> None:
        super().__init__(runtime.kernel(source, name), {base: (position,) for position, base in enumerate(bases)})
        self._count = len(bases)
        self._steps = 0
        self._all = group > 0
        if group:
            self._size, self._group = (group,), (group,)
        elif runtime.device.is_cpu:
            self._size, self._group = (tiles,), (1,)
        else:
            self._size, self._group = (-(-tiles // LOCAL) * LOCAL,), (LOCAL,)

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        """Launch it. Which step it is, it sees from where its numbers of work-items begin: setting that is free."""
        if self._all and self._steps != end:
            self.kernel.set_arg(self._count, np.int32(end))
            self._steps = end
        cl.enqueue_nd_range_kernel(queue, self.kernel, self._size, self._group, (begin,))


class _OwnLaunch(_Launch):
    """A product's own kernel."""

    def __init__(self, runtime: Runtime, own: Own) -> None:
        positions: dict[str, list[int]] = {}
        for position, place in enumerate(own.arguments):
            positions.setdefault(place.name, []).append(position)
        super().__init__(runtime.kernel(own.source, own.name), positions)
        self._size, self._group = own.global_size, own.local_size

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        """Launch it."""
        cl.enqueue_nd_range_kernel(queue, self.kernel, self._size, self._group)


# Sources -------------------------------------------------------------------------------------------------------------


def _bases(tasks: Sequence[Task]) -> list[str]:
    return sorted(set().union(*[task.bases for task in tasks]))


def _kernel(name: str, bases: Sequence[str], body: str, group: int) -> str:
    steps = ["const int end"] if group else []
    parameters = ", ".join([*[f"__global uchar* {base}" for base in bases], *steps])
    size = f"__attribute__((reqd_work_group_size({group}, 1, 1))) " if group else ""
    return f"__kernel {size}void {name}({parameters})\n{{\n{body}\n}}\n"


def _in_turn(groups: Sequence[Sequence[Task]], items: int) -> str:
    """All tasks of all steps: where one must wait for another, every work-item waits for all."""
    first, step = ("get_local_id(0)", "get_local_size(0)") if items > 1 else ("0", "1")
    lines = ["for (int step = 0; step < end; step++) {"]
    for group in groups:
        lines += [f"for (int t = {first}; t < {task.tiles}; t += {step}) {{\n{task.body}\n}}" for task in group]
        if items > 1:
            lines.append("barrier(CLK_GLOBAL_MEM_FENCE);")
    return "\n".join([*lines, "}"])


def _at_once(group: Sequence[Task]) -> str:
    """Each work-item does one tile of one task."""
    lines = ["const int step = get_global_offset(0);", "int t = get_global_id(0) - step;"]
    return "\n".join(
        [*lines, *[f"if (t < {task.tiles}) {{\n{task.body}\nreturn;\n}}\nt -= {task.tiles};" for task in group]]
    )
