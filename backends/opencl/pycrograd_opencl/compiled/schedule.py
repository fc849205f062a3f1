"""From a program to tasks, and from tasks to launches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycrograd_core.capture.plan import Plan, plan
from pycrograd_core.capture.program import WIDTHS, Instruction, Program, Step, Value, flat
from pycrograd_core.op import INDEX_DTYPE

from . import flat as whole_matrices
from .choice import Choice, Way, inner, left_in_blocks
from .code import Code
from .homes import parameters, states_of
from .places import Place
from .products import product
from .row_ops import swept
from .settings import Settings
from .task import Eager, Task, spans, together
from .updates import Update

if TYPE_CHECKING:
    from ..devices import Device

OWN = frozenset({Way.PRODUCT, Way.EAGER})  # launches of their own, which take whole buffers
RATE = 8e10  # operations a second of one work-item on a CPU, for what to share out
LAUNCH = 5e-5  # seconds that a launch costs on a CPU: threads wake up, and caches change hands
RATE_OF_GROUP = 1e10  # operations a second of one work-group elsewhere
SECONDS = 0.2  # of a launch of many steps at most: an interrupt waits for its end, and drivers of displays wait seconds
DRAWN = 1 << 24  # bytes that are drawn on the host before a launch


@dataclass(frozen=True)
class Schedule:
    """The tasks of a program, in groups of those that may run at once, and the memory that they need.

    `settings` are what it was made by. `group` is the number of work-items that do all tasks in one launch, waiting
    for each other in between; 0: each group of tasks that may run at once is a launch. `buffers` are the matrices,
    besides the arena, that values are in, and `arena` the bytes of that. A launch does `steps` steps of a loop at most.
    """

    settings: Settings
    code: Code
    planned: Plan
    groups: Sequence[Sequence[Task]]
    constants: Mapping[str, Value]
    buffers: Mapping[str, int]
    group: int
    arena: int
    steps: int

    @property
    def tasks(self) -> list[Task]:
        """The tasks in an order in which they may run one after the other."""
        return [task for group in self.groups for task in group]

    @property
    def places(self) -> Mapping[Value, Place]:
        """Where each value is."""
        return self.code.places


def schedule(program: Program, device: Device, settings: Settings) -> Schedule:
    """The tasks of a program."""
    group = settings.group if settings.whole and not device.is_cpu and _few_buffers(program, device) else 0
    numbers = {
        v: c.content for v, c in program.constants.items() if isinstance(c.content, float) and v.dtype != INDEX_DTYPE
    }
    code = Code(numbers, settings)
    chosen = Choice(code, program, device, settings, group > 0)
    planned = plan(program, chosen.atomic)
    ways = {chosen.way(step) for step in planned.steps}
    if group and Way.EAGER in ways:
        return schedule(program, device, replace(settings, whole=False))
    own = not ways.isdisjoint(OWN)
    if not own:
        chosen.blocked = left_in_blocks(planned, chosen)
    planned = plan(program, chosen.atomic, chosen.scratch)
    steps = max(1, int(SECONDS * (RATE if device.is_cpu else RATE_OF_GROUP) / max(program.flops, 1.0)))
    steps = min(steps, DRAWN // max(1, sum(value.bytes for value in program.feeds)) or 1)
    inputs, constants = _inputs(program, steps)
    direct, late = _outputs(program, planned)
    code.places.update(inputs | direct)
    for value, target in planned.homes.items():
        code.places[value] = replace(inputs[target], value=value)
    buffers = _between(planned, chosen, own)
    tasks = _all_tasks(program, planned, chosen, device, late, buffers, own)
    groups = together(tasks, parameters(device))
    arena = planned.size
    if own:
        arena = max(map(chosen.scratch, planned.steps), default=0)
    elif device.is_cpu and _alone(program, groups, device, settings):
        group = 1
    used = (end for task in tasks for base, _, end in (*task.reads, *task.writes) if base == "arena")
    assert max(used, default=0) <= arena
    return Schedule(settings, code, planned, groups, constants, buffers, group, arena, steps)


def _few_buffers(program: Program, device: Device) -> bool:
    """Whether one kernel can be given all that a program reads and writes."""
    homes = {id(state.home[0]) if state.home else id(state) for state in states_of(program).values()}
    others = len(program.arguments) + len(program.feeds) + len(program.constants) + len(program.outputs) + 1
    return len(homes) + others <= parameters(device)


def _all_tasks(
    program: Program,
    planned: Plan,
    chosen: Choice,
    device: Device,
    late: Sequence[tuple[Value, Place]],
    buffers: dict[str, int],
    own: bool,
) -> list[Task]:
    """The tasks of all steps, after copies of what they overwrite and before copies of what they leave elsewhere."""
    code = chosen.code
    places = code.places
    tasks = [
        _moved(code, places[value], _output(program, value, number))
        for number, value in enumerate(program.outputs)
        if value in program.inputs
    ]
    kept = {value: _saved(planned, own, value) for value in planned.saved}
    tasks += [_moved(code, places[value], place) for value, place in kept.items()]
    for step in planned.steps:
        way = chosen.way(step)
        before, after = _level(step, code, buffers) if way in OWN else ([], [])
        scratch = 0 if own else planned.scratch.get(step, 0)
        tasks += [*before, *_tasks(code, device, step, way, scratch), *after]
    tasks += [_moved(code, places[value], place) for value, place in late]
    return tasks + [_moved(code, kept.get(value, places[value]), places[state]) for state, value in planned.copies]


def _alone(program: Program, groups: Sequence[Sequence[Task]], device: Device, settings: Settings) -> bool:
    """Whether one work-item does all tasks: if it does them sooner than all work-items in many launches."""
    bases = set().union(*[task.bases for group in groups for task in group])
    if len(bases) > parameters(device):
        return False
    if settings.whole is not None:
        return settings.whole
    return program.flops / RATE * (1 - 1 / device.units) < LAUNCH * max(1, len(groups) - 1)


def _level(step: Step, code: Code, buffers: dict[str, int]) -> tuple[list[Task], list[Task]]:
    """Copies before and after a launch of its own, which takes whole buffers, of what moves from step to step."""

    def beside(value: Value) -> tuple[Place, Place]:
        place = code.places[value]
        code.places[value] = Place(value, f"c{len(buffers)}")
        buffers[f"c{len(buffers)}"] = value.bytes
        return place, code.places[value]

    before = [_moved(code, *beside(value)) for value in step.inputs if code.places[value].stride]
    after = []
    for value in step.outputs:
        if code.places[value].stride:
            place, level = beside(value)
            after.append(_moved(code, level, place))
    return before, after


def _tasks(code: Code, device: Device, step: Step, way: Way | None, scratch: int) -> list[Task]:
    body = list(flat((step,)))
    match way:
        case Way.PRODUCT:
            return [product(code, device, body, step.outputs)]
        case Way.SUMMED:
            return [whole_matrices.summed(code, body, step.outputs)]
        case Way.UPDATE:
            return [Update(code, body, step.outputs).task()]
        case Way.ELEMENTWISE:
            return [whole_matrices.elementwise(code, body, step.outputs)]
        case Way.SWEEP:
            return swept(code, inner(step), step.outputs, scratch).tasks()
        case _:
            return [_eager(code, body[0])]


def _eager(code: Code, step: Instruction) -> Task:
    operands, result = [code.places[value] for value in step.inputs], code.places[step.output]
    return Task(1, "", spans(operands), spans([result]), Eager(step, tuple(operands), result))


def _moved(code: Code, source: Place, target: Place) -> Task:
    if source.value in code.numbers:
        return whole_matrices.fill(code, code.numbers[source.value], target)
    return whole_matrices.copy(code, source, target)


# Places --------------------------------------------------------------------------------------------------------------


def _stride(program: Program, value: Value) -> int:
    return value.bytes if program.stacked else 0


def _output(program: Program, value: Value, number: int) -> Place:
    return Place(value, f"o{number}", stride=_stride(program, value))


def _between(planned: Plan, chosen: Choice, own: bool) -> dict[str, int]:
    """Place what lies between inputs and outputs: in the arena, or in buffers, whose sizes are returned."""
    places = chosen.code.places
    if not own:
        for value, root in planned.roots.items():
            places[value] = Place(value, "arena", planned.offsets[root], block=chosen.blocked.get(value, 0))
        return {}
    numbers, kinds = planned.buffers  # a kernel of its own takes whole buffers
    for value, root in planned.roots.items():
        places[value] = Place(value, f"m{numbers[root]}")
    return {f"m{number}": math.prod(shape) * WIDTHS[dtype] for number, (shape, dtype) in enumerate(kinds)}


def _saved(planned: Plan, own: bool, value: Value) -> Place:
    """Where an input is copied to because it is overwritten and needed afterwards."""
    if own:
        return Place(value, f"m{planned.buffers[0][value]}")
    return Place(value, "arena", planned.offsets[value])


def _inputs(program: Program, steps: int) -> tuple[dict[Value, Place], dict[str, Value]]:
    """Where the inputs are: each is a parameter of its own."""
    places: dict[Value, Place] = {}
    for number, value in enumerate(program.arguments):
        places[value] = Place(value, f"x{number}", stride=value.bytes if value in program.stacked else 0)
    homes: dict[int, str] = {}
    for number, (value, state) in enumerate(states_of(program).items()):
        if state.home is None:
            places[value] = Place(value, f"s{number}")
        else:
            places[value] = Place(value, homes.setdefault(id(state.home[0]), f"h{number}"), state.home[1])
    for number, value in enumerate(program.feeds):
        places[value] = Place(value, f"f{number}", stride=_stride(program, value), turn=steps)
    constants = {f"k{number}": value for number, value in enumerate(program.constants)}
    places |= {value: Place(value, base) for base, value in constants.items()}
    return places, constants


def _outputs(program: Program, planned: Plan) -> tuple[dict[Value, Place], list[tuple[Value, Place]]]:
    """Where outputs are computed, and what is copied to an output when all is done."""
    direct: dict[Value, Place] = {}
    late = []
    for number, value in enumerate(program.outputs):
        place = _output(program, value, number)
        if value in planned.outputs and value not in direct:
            direct[value] = place
        elif value not in program.inputs:
            late.append((value, place))
    return direct, late
