"""The launches of a compiled program."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyopencl as cl

from pycrograd_core.capture.program import Program, Value
from pycrograd_core.op import INDEX_DTYPE

from ..c_types import CType, preamble
from .command_buffer import CommandBuffer, usable
from .homes import states_of
from .places import Place
from .schedule import Schedule
from .task import Eager, Own, Task

if TYPE_CHECKING:
    from ..matrix import OpenCLMatrix
    from ..runtime import Runtime

# A command buffer is worth its recording from so many launches a step and so many steps on. PoCL 3.1 enqueues what it
# replays one by one, and takes 3 to 5 µs to record a launch. In a loop of 64 steps, with the recording, a step of 2,
# 16, 26, 56, 106 launches takes 6.5, 18, 27, 78, 120 µs of the host's time, and from Python 5.1, 21, 35, 89, 168 µs.
LAUNCHES = 24
STEPS = 32


class Run:
    """A program as a function of matrices. It works in memory of its own, so it must not run in two threads at once."""

    def __init__(self, program: Program, made: Schedule, matrix: type[OpenCLMatrix]) -> None:
        self._program = program
        self._matrix = matrix
        self._runtime = matrix.runtime
        self._prepare(made)

    def _prepare(self, made: Schedule) -> None:
        self._made = made
        self._constants: dict[str, Any] = {}  # matrices: they live as long as this does
        self._counter: cl.Buffer | None = None  # of steps, where the device counts them
        self._launches = self._built()
        self._eager = [launch for launch in self._launches if isinstance(launch, _EagerLaunch)]
        self._buffers = self._kept()
        program = self._program
        given = [*self._numbered("x", program.arguments), *self._numbered("o", program.outputs)]
        given += self._numbered("f", program.feeds)
        for launch in self._launches:
            launch.bind(self._buffers, given)
        self._homes = self._states_homes()
        self._moves = self._runtime.moves  # last: what fails before this is done anew by the next call

    def __call__(self, *arguments: Any) -> list[Any]:
        """One step, or all steps of a loop: a new matrix for each output."""
        program, steps = self._program, self._steps(arguments)
        for value in program.updates:
            if value.dtype == INDEX_DTYPE:  # what limits its indices will not hold
                owner = program.states.get(value)
                (arguments[program.arguments.index(value)] if owner is None else owner).limits = None
        with self._runtime.lock:
            if self._moves != self._runtime.moves:
                self._settle()
            outputs = [
                self._matrix.empty(v.shape[0] * (steps if program.stacked else 1), v.shape[1], v.dtype)
                for v in program.outputs
            ]
            given = [x.buffer for x in (*arguments, *outputs)]
            most = self._made.steps
            try:
                if not program.feeds and not self._made.group:
                    self._launch(given, 0, steps)
                else:
                    for begin in range(0, steps, most):
                        end = min(begin + most, steps)
                        self._launch(given + self._drawn(end - begin), begin, end)
                self._runtime.queue.flush()
            except cl.Error as error:
                self._runtime.memory.exhausted(error)
            finally:
                for launch in self._eager:
                    launch.forget()
        return outputs

    @staticmethod
    def _numbered(letter: str, values: Collection[Value]) -> list[str]:
        return [f"{letter}{number}" for number in range(len(values))]

    def _steps(self, arguments: Sequence[Any]) -> int:
        """The steps of a call: of a loop as many as it was given rows for."""
        stacked = self._program.stacked
        for x, value in zip(arguments, self._program.arguments, strict=True):
            if value in stacked:
                steps: int = x.shape[0] // value.shape[0]
                return steps
        return 1

    def _launch(self, given: Sequence[Any], begin: int, end: int) -> None:
        """The launches of some steps, on what was given to this call and drawn for these steps."""
        queue = self._runtime.queue
        for launch in self._launches:
            launch.give(given)
        if self._made.group:
            self._launches[0].enqueue(queue, begin, end)
            return
        if self._counter is not None:
            cl.enqueue_fill_buffer(queue, self._counter, np.array([begin], np.int32), 0, self._counter.size)
            if end - begin >= STEPS:
                self._replay(end - begin)
                return
        for step in range(begin, end):
            for launch in self._launches:
                launch.enqueue(queue, step, step + 1)

    def _replay(self, steps: int) -> None:
        """Record the launches of a step, and enqueue them for each step at once."""
        with CommandBuffer(self._runtime.queue) as step:
            for launch in self._launches:
                launch.record(step)
            step.finalize()
            step.enqueue(steps)

    def _drawn(self, steps: int) -> list[Any]:
        """Buffers of what is fed, drawn for each of so many steps in turn."""
        feeds = self._program.feeds
        if not feeds:
            return []
        drawn: dict[Value, list[Any]] = {value: [] for value in feeds}
        for _ in range(steps):
            for value, draw in feeds.items():
                drawn[value].append(self._matrix.from_feed(draw, *value.shape, value.dtype))
        return [(parts[0].concat(*parts[1:], axis=0) if steps > 1 else parts[0]).buffer for parts in drawn.values()]

    def _states_homes(self) -> list[tuple[Any, int] | None]:
        return [state.home for state in states_of(self._program).values()]

    def _settle(self) -> None:
        """Matrices have moved. If states of this program have, make everything anew."""
        from .schedule import schedule

        if self._states_homes() != self._homes:
            self._prepare(schedule(self._program, self._runtime.device, self._made.settings))
        self._moves = self._runtime.moves

    # Once ----------------------------------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        """The buffers that are the same in each call: the states, the constants, and what lies between."""
        program, made = self._program, self._made
        needed: set[str] = set().union(*[task.bases for task in made.tasks])
        buffers: dict[str, Any] = {} if self._counter is None else {"counter": self._counter}
        buffers |= {base: self._runtime.buffer(size) for base, size in made.buffers.items() if base in needed}
        if "arena" in needed:
            buffers["arena"] = self._runtime.buffer(max(made.arena, 1))
        for value, state in states_of(program).items():
            place = made.places[value]
            buffers[place.name] = state.buffer
            if state.home is not None:
                buffers[place.base] = state.home[0]
        for base, value in made.constants.items():
            if base in needed:
                self._constants[base] = program.constants[value].made(self._matrix, value)
                buffers[base] = self._constants[base].buffer
        return buffers

    def _steps_of(self, groups: Sequence[Sequence[Task]]) -> list[str]:
        """How each launch finds its step: from where its numbers begin; from the counter, if it is to be recorded.

        No launch writes what it reads: the first one that asks notes the next step, the last one makes it the step.
        """
        eager = any(isinstance(task.own, Eager) for group in groups for task in group)
        counted = [number for number, group in enumerate(groups) if group[0].own is None]
        worth = self._program.stacked and len(groups) >= LAUNCHES and len(counted) > 1 and not eager
        if not (worth and usable(self._runtime.device)):
            return [OFFSET] * len(groups)
        self._counter = self._runtime.buffer(8)
        steps = [COUNTED] * len(groups)
        steps[counted[0]], steps[counted[-1]] = FIRST, LAST
        return steps

    def _built(self) -> list[_Launch]:
        """The kernels, from one source but for those of their own."""
        made = self._made
        texts: list[str] = []
        kernels: list[Own | Eager | tuple[str, list[str], int]] = []
        if made.group:
            bases = _bases(made.tasks)
            kernels.append(("steps", bases, 0))
            texts.append(_kernel("steps", bases, _in_turn(made.groups, made.group), made.group))
        else:
            for number, (group, step) in enumerate(zip(made.groups, self._steps_of(made.groups), strict=True)):
                if group[0].own is not None:
                    kernels.append(group[0].own)
                    continue
                bases = [*_bases(group), *(["counter"] if self._counter else [])]
                kernels.append((f"launch{number}", bases, sum(task.tiles for task in group)))
                texts.append(_kernel(f"launch{number}", bases, _at_once(group, step), 0))
        double = any(value.dtype == "float64" for value in made.places)
        source = "\n".join([preamble(CType("double" if double else "float")), made.code.functions.source, *texts])
        launches: list[_Launch] = []
        program = self._runtime.program(source, remembered=False) if texts else None
        for kernel in kernels:
            if isinstance(kernel, Own):
                launches.append(_OwnLaunch(self._runtime, kernel))
            elif isinstance(kernel, Eager):
                launches.append(_EagerLaunch(self._matrix, kernel))
            else:
                assert program is not None
                name, bases, tiles = kernel
                if made.group:
                    size, local = (made.group,), (made.group,)
                else:
                    items = 1 if self._runtime.device.is_cpu else made.settings.items
                    size, local = (-(-tiles // items) * items,), (items,)
                launches.append(_TaskLaunch(cl.Kernel(program, name), bases, size, local, all_steps=made.group > 0))
        return launches


class _Launch(Protocol):
    """What is enqueued for a group of tasks in each step."""

    def bind(self, buffers: Mapping[str, Any], given: Sequence[str]) -> None:
        """Take the buffers that stay, by name, and note which are given to each call."""

    def give(self, buffers: Sequence[Any]) -> None:
        """Take the buffers that are given to a call. The driver holds them until what is enqueued has run."""

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        """Enqueue it for these steps of a loop."""

    def record(self, step: CommandBuffer) -> None:
        """Make it part of a step that is enqueued as one."""


class _KernelLaunch:
    """A kernel, most of whose arguments are set once."""

    def __init__(
        self,
        kernel: cl.Kernel,
        positions: Mapping[str, Sequence[int]],
        global_size: tuple[int, ...],
        local_size: tuple[int, ...],
    ) -> None:
        self._kernel = kernel
        self._positions = positions
        self._sizes = global_size, local_size
        self._given: list[tuple[int, int]] = []

    def bind(self, buffers: Mapping[str, Any], given: Sequence[str]) -> None:
        for base, buffer in buffers.items():
            for position in self._positions.get(base, ()):
                self._kernel.set_arg(position, buffer)
        places = enumerate(given)
        self._given = [(position, i) for i, base in places for position in self._positions.get(base, ())]

    def give(self, buffers: Sequence[Any]) -> None:
        for position, i in self._given:
            self._kernel.set_arg(position, buffers[i])

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        cl.enqueue_nd_range_kernel(queue, self._kernel, *self._sizes)

    def record(self, step: CommandBuffer) -> None:
        step.record(self._kernel, *self._sizes)


class _TaskLaunch(_KernelLaunch):
    """Tasks that may run at once, or all tasks of all steps by one group of work-items."""

    def __init__(
        self,
        kernel: cl.Kernel,
        bases: Sequence[str],
        global_size: tuple[int, ...],
        local_size: tuple[int, ...],
        all_steps: bool,
    ) -> None:
        super().__init__(kernel, {base: (position,) for position, base in enumerate(bases)}, global_size, local_size)
        self._last = len(bases) if all_steps else None  # where the kernel is told the last step
        self._steps = 0

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        """Enqueue it. Which step it is, it sees from where its numbers of work-items begin: setting that is free."""
        if self._last is not None and self._steps != end:
            self._kernel.set_arg(self._last, np.int32(end))
            self._steps = end
        cl.enqueue_nd_range_kernel(queue, self._kernel, *self._sizes, (begin,))


class _OwnLaunch(_KernelLaunch):
    """A product's own kernel."""

    def __init__(self, runtime: Runtime, own: Own) -> None:
        positions: dict[str, list[int]] = {}
        for position, place in enumerate(own.arguments):
            positions.setdefault(place.name, []).append(position)
        kernel = runtime.kernel(own.launch.source, own.launch.name)
        super().__init__(kernel, positions, own.launch.global_size, own.launch.local_size)


class _EagerLaunch:
    """A step by the kernels of eager mode, which may be several."""

    def __init__(self, matrix: type[OpenCLMatrix], eager: Eager) -> None:
        self._matrix = matrix
        self._kernel = matrix.kernels[eager.step.op]
        self._params = dict(eager.step.params)
        self._takes_out = eager.step.op.takes_out
        self._places = (*eager.operands, eager.result)
        self._matrices: dict[Place, OpenCLMatrix] = {}
        self._given: list[tuple[Place, int]] = []

    def bind(self, buffers: Mapping[str, Any], given: Sequence[str]) -> None:
        self._matrices = {
            place: self._made(place, buffers[place.name]) for place in self._places if place.name in buffers
        }
        self._given = [(place, given.index(place.name)) for place in self._places if place.name in given]

    def give(self, buffers: Sequence[Any]) -> None:
        for place, i in self._given:
            self._matrices[place] = self._made(place, buffers[i])

    def enqueue(self, queue: cl.CommandQueue, begin: int, end: int) -> None:
        *operands, target = [self._matrices[place] for place in self._places]
        out = {"out": target} if self._takes_out else {}
        result = self._kernel(*operands, **self._params, **out)
        if result is not target:
            target.assign(result)

    def forget(self) -> None:
        """Let go of what was given to a call, as kernels do once they have run."""
        for place, _ in self._given:
            self._matrices.pop(place, None)

    def record(self, step: CommandBuffer) -> None:
        raise NotImplementedError("kernels of eager mode choose their launches when they are called")

    def _made(self, place: Place, buffer: Any) -> OpenCLMatrix:
        return self._matrix(buffer, place.value.shape, place.value.dtype)


# Sources -------------------------------------------------------------------------------------------------------------

_ITEM = "int t = get_global_id(0) - get_global_offset(0);"
_COUNT = f"__global int* count = (__global int*)counter;\n{_ITEM}"
OFFSET = f"const int step = get_global_offset(0);\n{_ITEM}"
COUNTED = f"{_COUNT}\nconst int step = count[0];"
FIRST = f"{COUNTED}\nif (t == 0) count[1] = step + 1;"
LAST = f"{_COUNT}\nconst int step = count[1] - 1;\nif (t == 0) count[0] = step + 1;"


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
    lines = ["for (int step = get_global_offset(0); step < end; step++) {"]
    for group in groups:
        lines += [f"for (int t = {first}; t < {task.tiles}; t += {step}) {{\n{task.body}\n}}" for task in group]
        if items > 1:
            lines.append("barrier(CLK_GLOBAL_MEM_FENCE);")
    return "\n".join([*lines, "}"])


def _at_once(group: Sequence[Task], step: str) -> str:
    """Each work-item does one tile of one task."""
    return "\n".join(
        [step, *[f"if (t < {task.tiles}) {{\n{task.body}\nreturn;\n}}\nt -= {task.tiles};" for task in group]]
    )
