"""Updates as early as they can be: what only they still need then makes room, and is in the cache when they read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pycrograd_core.capture.program import Program, Region, Step, Value

KEPT = ("update", "cross_entropy")  # the kinds of regions that may run in one piece


def updates_early(program: Program) -> Program:
    """The program with each update region behind the last step that makes what it reads, or reads what it replaces.

    Regions that never run in one piece are opened.
    """
    steps = list(_opened(program.body))
    targets: dict[Value, list[Value]] = {}
    for target, value in program.updates.items():
        targets.setdefault(value, []).append(target)
    made: dict[Value, int] = {}
    read: dict[Value, int] = {}
    ready: dict[int, list[Step]] = {}
    for position, step in enumerate(steps):
        made.update(dict.fromkeys(step.outputs, position))
        if not _moves(step):
            read.update(dict.fromkeys(step.inputs, position))
    for position, step in enumerate(steps):
        if _moves(step):
            replaced = [target for value in step.outputs for target in targets.get(value, ())]
            waits = [made.get(value, -1) for value in step.inputs] + [read.get(value, -1) for value in replaced]
            place = min(max(waits), position)  # never later than it was
            ready.setdefault(place, []).append(step)
            made.update(dict.fromkeys(step.outputs, place))
            read.update({value: max(read.get(value, -1), place) for value in step.inputs})
    body = [*ready.get(-1, [])]
    for position, step in enumerate(steps):
        body += [] if _moves(step) else [step]
        body += ready.get(position, [])
    return program.with_body(body)


def _moves(step: Step) -> bool:
    return isinstance(step, Region) and step.kind == "update"


def _opened(body: Iterable[Step]) -> Iterator[Step]:
    for step in body:
        if isinstance(step, Region) and step.kind not in KEPT:
            yield from _opened(step.body)
        else:
            yield step
