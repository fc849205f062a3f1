"""From a program to tasks, and from tasks to launches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycrograd_core.capture.plan import Plan, plan
from pycrograd_core.capture.program import WIDTHS, Instruction, Program, Region, Step, Value, flat

from ..expressions import ELEMENTWISE
from . import flat as whole_matrices
from .code import Code
from .places import Place
from .products import product
from .row_ops import OVER_ROWS, sweepable
from .rows import Sweep
from .task import Task, together
from .updates import Update, updatable

if TYPE_CHECKING:
    from ..devices import Device

SMALL = 2e5  # operations of a step that takes microseconds however it is done
LARGE = 1e8  # operations of a product outside row-local regions that is worth a kernel of its own
FEW = 64  # rows or columns
RATE = 5e10  # operations a second of one work-item on a CPU, for what to share out
LAUNCH = 1e-5  # seconds of a launch
LONG = 4096  # columns of a sum: over more, float32 loses digits unless the sum is cut up


SMALL_ON_GPU = 2e6  # operations of a step that one work-group does before as many launches as it has tasks begin
GROUP = 256  # work-items of such a group


@dataclass(frozen=True)
class Schedule:
    """The tasks of a program in order, and the memory that they need.

    `group` is the number of work-items that do all tasks in one launch, waiting for each other in between; 0: each
    group of tasks that may run at once is a launch. `buffers` are the matrices, besides the arena, that values are in.
    """

    code: Code
    planned: Plan
    tasks: tuple[Task, ...]
    places: Mapping[Value, Place]
    constants: Mapping[str, Value]
    buffers: Mapping[str, int]
    group: int


def schedule(program: Program, device: Device) -> Schedule | None:
    """The tasks of a program; None if there is a step that no task can do."""
    lanes, registers = shape_of(device, program.flops)
    group = 0 if device.is_cpu or program.flops > SMALL_ON_GPU else min(GROUP, device.largest_group)
    numbers = {
        v: c.content for v, c in program.constants.items() if isinstance(c.content, float) and v.dtype != "int32"
    }
    code = Code(numbers, lanes, registers)
    chosen = _Choice(code, program, device, group)
    planned = plan(program, chosen.atomic)
    if any(chosen.way(step) is None for step in planned.steps):
        return None
    if not chosen.separate:
        chosen.blocked = _left_in_blocks(planned, chosen)
    planned = plan(program, chosen.atomic, chosen.scratch)
    places, constants = _inputs(program)
    outputs, late = _outputs(program, planned, places)
    places |= outputs
    for value, target in planned.homes.items():
        places[value] = Place(value, places[target].base, places[target].offset, places[target].stride)
    buffers: dict[str, int] = {}
    if chosen.separate:  # a kernel of its own takes whole buffers
        numbers_of, kinds = planned.buffers
        buffers = {f"m{number}": math.prod(shape) * WIDTHS[dtype] for number, (shape, dtype) in enumerate(kinds)}
        places |= {value: Place(value, f"m{numbers_of[root]}") for value, root in planned.roots.items()}
        kept = {value: Place(value, f"m{numbers_of[value]}") for value in planned.saved}
    else:
        for value, root in planned.roots.items():
            places[value] = Place(value, "arena", planned.offsets[root], block=chosen.blocked.get(value, 0))
        kept = {value: Place(value, "arena", planned.offsets[value]) for value in planned.saved}
    code.places.update(places)
    tasks: list[Task] = []
    early = [
        (places[v], Place(v, f"o{i}", stride=_stride(program, v)))
        for i, v in enumerate(program.outputs)
        if v in program.inputs
    ]
    early += [(places[value], kept[value]) for value in planned.saved]
    tasks += [_moved(code, source, target) for source, target in early]
    for step in planned.steps:
        tasks += _tasks(code, device, step, chosen.way(step), planned.scratch.get(step, 0))
    tasks += [_moved(code, places[value], place) for value, place in late]
    tasks += [_moved(code, kept.get(value, places[value]), places[state]) for state, value in planned.copies]
    if any(place.stride for task in tasks if task.own for place in task.own.arguments):
        return None  # of a loop, it takes what differs from step to step
    if device.is_cpu and not chosen.separate and _alone(program, tasks, device):
        group = 1
    return Schedule(code, planned, tuple(tasks), places, constants, buffers, group)


def shape_of(device: Device, flops: float) -> tuple[int, int]:
    """The lanes of a task's vectors of float32, and how many sums of such vectors a task may hold in registers."""
    if not device.is_cpu:
        return 1, 4
    if flops < SMALL:
        return min(8, max(4, device.lanes)), 2  # little code, which takes a fraction of the time to compile
    if device.lanes >= 16:
        return 16, 12  # of 32 registers
    return (16, 6) if device.lanes >= 8 else (8, 6)  # of 16 registers: a vector takes two


def _alone(program: Program, tasks: Sequence[Task], device: Device) -> bool:
    """Whether one work-item does all tasks sooner than all work-items in many launches."""
    seconds = program.flops / RATE * (1 - 1 / device.units)
    return seconds < LAUNCH * max(1, len(together(tasks)) - 1)


class _Choice:
    """How each step is done: a sweep, an update, elementwise, or not at all."""

    def __init__(self, code: Code, program: Program, device: Device, group: int) -> None:
        self.code = code
        self.separate = False  # whether a step has a kernel of its own
        self.blocked: dict[Value, int] = {}  # the values that sweeps leave in blocks
        self._group = group
        self._cpu = device.is_cpu
        self._targets = {value: target for target, value in program.updates.items()}
        self._ways: dict[Step, str | None] = {}

    def atomic(self, region: Region) -> bool:
        """Whether a region is done in one piece."""
        if region.kind == "rows" and self.code.lanes == 1:
            return False  # on a GPU its rows are too few to share out
        return self.way(region) is not None

    def way(self, step: Step) -> str | None:
        """The name of what does a step."""
        if step not in self._ways:
            self._ways[step] = self._found(step)
        return self._ways[step]

    def _found(self, step: Step) -> str | None:
        body = list(flat((step,)))
        if any(value.size == 0 for each in body for value in (*each.inputs, *each.outputs)):
            return None
        if isinstance(step, Region) and step.kind == "update":
            if not updatable(step) or self._reads_whole(step):
                return None
            return "update" if self._cpu else self._summed(body)
        if all(each.op.elementwise and each.op.name in ELEMENTWISE for each in body) and not _mixed(body):
            return "elementwise"
        if self._large(step, body):
            return self._summed(body)
        if len(body) == 1 and body[0].op.name == "matmul" and body[0].params.get("transpose_a"):
            return None if body[0].params.get("transpose_b") else "update"
        inner = step.body if isinstance(step, Region) and step.kind == "rows" else (step,)
        if not all(map(sweepable, inner)) or _mixed(body):
            return None
        if any(each.op.name in OVER_ROWS and each.inputs[0].shape[1] > LONG for each in body):
            return None
        if any(not _row_local(each) for each in body):
            return None
        return "sweep"

    def _large(self, step: Step, body: Sequence[Instruction]) -> bool:
        """Whether a product, or on a GPU a sum over rows, is shared out element by element."""
        if isinstance(step, Region) and step.kind != "product":
            return False
        if any(each.op.name not in ELEMENTWISE for each in body[1:]) or _mixed(body):
            return False
        first = body[0]
        if first.op.name in ("matmul", "linear"):
            return not self._cpu or (first.flops > LARGE and min(first.output.shape) > FEW)
        return not self._cpu and first.op.name == "sum" and first.params.get("axis") == 0

    def _summed(self, body: Sequence[Instruction]) -> str:
        """What sums the elements of a product or of columns, with as many work-items as there are."""
        products = [step for step in body if step.op.name in ("matmul", "linear")]
        if products and not self._group:
            self.separate = True
            return "product"
        return "summed" if any(step.op.name not in ELEMENTWISE for step in body) else "elementwise"

    def _reads_whole(self, region: Region) -> bool:
        """Whether the gradient is made of what the update overwrites."""
        overwritten = {self._targets.get(value) for value in region.outputs}
        made_of = (step for step in flat(region.body) if step.op.name not in ELEMENTWISE)
        return any(value in overwritten for step in made_of for value in step.inputs)

    def scratch(self, step: Step) -> int:
        """The bytes that a step needs while it is done."""
        if self.way(step) != "sweep":
            return 0
        values = (*step.inputs, *step.outputs)
        outer = {value: Place(value, "arena", block=self.blocked.get(value, 0)) for value in values}
        return Sweep(
            Code(self.code.numbers, self.code.lanes, self.code.registers, outer), _inner(step), step.outputs, 0
        ).size


def _inner(step: Step) -> Sequence[Step]:
    return step.body if isinstance(step, Region) and step.kind == "rows" else (step,)


def _row_local(step: Instruction) -> bool:
    return (
        step.op.name in OVER_ROWS
        or step.op.name in ("cross_entropy", "count_correct")
        or (
            step.op.rows_from(step.inputs, step.params) is not None  # type: ignore[arg-type]
        )
    )


def _mixed(body: Sequence[Instruction]) -> bool:
    """Whether floats of two sizes meet, or integers are computed with."""
    floats = {v.dtype for step in body for v in (*step.inputs, step.output) if v.dtype != "int32"}
    computed = {step.output.dtype for step in body if step.op.name in ELEMENTWISE or step.op.name in OVER_ROWS}
    return len(floats) > 1 or "int32" in computed


def _tasks(code: Code, device: Device, step: Step, way: str | None, scratch: int) -> list[Task]:
    body = list(flat((step,)))
    if way == "product":
        return [product(code, device, body, step.outputs)]
    if way == "summed":
        return [whole_matrices.summed(code, body, step.outputs)]
    if way == "update":
        return [Update(code, body, step.outputs).task()]
    if way == "elementwise":
        return [whole_matrices.elementwise(code, body, step.outputs)]
    return Sweep(code, _inner(step), step.outputs, scratch).tasks()


def _moved(code: Code, source: Place, target: Place) -> Task:
    if source.value in code.numbers:
        return whole_matrices.fill(code, code.numbers[source.value], target)
    return whole_matrices.copy(code, source, target)


# Places --------------------------------------------------------------------------------------------------------------


def _stride(program: Program, value: Value) -> int:
    return value.bytes if program.stacked else 0


def _inputs(program: Program) -> tuple[dict[Value, Place], dict[str, Value]]:
    """Where the inputs are: each is a parameter of its own."""
    places = {}
    for number, value in enumerate(program.arguments):
        places[value] = Place(value, f"x{number}", stride=value.bytes if value in program.stacked else 0)
    homes: dict[int, str] = {}
    for number, (value, state) in enumerate(program.states.items()):
        home: tuple[Any, int] | None = state.home  # type: ignore[attr-defined]
        if home is None:
            places[value] = Place(value, f"s{number}")
        else:
            places[value] = Place(value, homes.setdefault(id(home[0]), f"h{number}"), home[1])
    for number, value in enumerate(program.feeds):
        places[value] = Place(value, f"f{number}", stride=_stride(program, value))
    constants = {f"k{number}": value for number, value in enumerate(program.constants)}
    places |= {value: Place(value, base) for base, value in constants.items()}
    return places, constants


def _outputs(
    program: Program, planned: Plan, places: Mapping[Value, Place]
) -> tuple[dict[Value, Place], list[tuple[Value, Place]]]:
    """Where outputs are computed, and what is copied to an output when all is done."""
    direct: dict[Value, Place] = {}
    late = []
    for number, value in enumerate(program.outputs):
        place = Place(value, f"o{number}", stride=_stride(program, value))
        if value in planned.outputs and value not in direct:
            direct[value] = place
        elif value not in program.inputs:
            late.append((value, place))
    return direct, late


def _left_in_blocks(planned: Plan, chosen: _Choice) -> dict[Value, int]:
    """What a sweep may leave in lanes: values that are read by updates alone, as the first operand of their product."""
    readers: dict[Value, list[Step]] = {}
    for step in planned.steps:
        for value in step.inputs:
            readers.setdefault(value, []).append(step)
    found = {}
    for step in planned.steps:
        if chosen.way(step) != "sweep":
            continue
        for value in step.outputs:
            block = chosen.code.width(value.dtype)
            if block == 1 or value.shape[0] % block or value.shape[0] != _height(step) or value.dtype == "int32":
                continue
            if value not in planned.roots or value in planned.saved:
                continue
            if all(
                chosen.way(reader) == "update" and _first_of_product(reader, value) for reader in readers.get(value, ())
            ):
                found[value] = block
    written = {value for _, value in planned.copies}
    return {value: block for value, block in found.items() if value not in written}


def _height(step: Step) -> int:
    from .rows import rows_of

    return rows_of(_inner(step))


def _first_of_product(reader: Step, value: Value) -> bool:
    uses = [(each, position) for each in flat((reader,)) for position, x in enumerate(each.inputs) if x is value]
    return all(each.op.name == "matmul" and position == 0 for each, position in uses)
