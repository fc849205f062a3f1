"""Updates: the gradient of a parameter and what an optimiser makes of it, in one pass over the parameter."""

from __future__ import annotations

from heapq import heappop, heappush

from pycrograd_core import ops

from ..program import Instruction, Program, Region, Step, Value, region, uses

LONGEST = 64  # members: the arithmetic of an optimiser is a handful


def fuse_updates(program: Program) -> Program:
    """The program with "update" regions.

    A region ends in values that `program.updates` writes to states (or arguments), all of one shape and dtype: the
    parameter's, and those of what the optimiser remembers for it. Its steps are elementwise and of that shape; what
    they read may broadcast. At most one other step may be there, the product that is the gradient: a `matmul` with
    transpose_a, or a `sum` over rows. Only values that are written to states are read outside the region.

    It stands where its last member did; nothing in it moves behind the update of another state that it reads.
    """
    updates = _Updates(program)
    for value in sorted(updates.written, key=lambda value: -updates.maker.get(value, -1)):
        updates.grow(value)
    if not updates.groups:
        return program
    needed = updates.needed.__contains__
    body: list[Step] = []
    for position, step in enumerate(program.body):
        last = updates.group.get(position)
        if last is None:
            body.append(step)
        elif last == position:
            members = [program.body[member] for member in sorted(updates.groups[last])]
            body.append(region("update", members, needed))
    return program.with_body(body)


def _is_gradient(step: Instruction) -> bool:
    return step.op is ops.sum or (step.op is ops.matmul and bool(step.params.get("transpose_a")))


class _Updates:
    """The groups found so far. Steps are known by their positions, groups by that of their last member."""

    def __init__(self, program: Program) -> None:
        self.body = program.body
        self.updates = program.updates
        self.outputs = set(program.outputs)
        self.written = dict.fromkeys(program.updates.values())
        self.maker = {value: position for position, step in enumerate(program.body) for value in step.outputs}
        self.readers = uses(program.body)
        self.needed = self.written.keys() | self.outputs
        self.groups: dict[int, set[int]] = {}
        self.group: dict[int, int] = {}  # for each member, its group

    def grow(self, value: Value) -> None:
        """The group whose last member makes a value: all that leads to it and to nothing else, from the last back."""
        last = self.maker.get(value, -1)
        if last < 0 or last in self.group or not self._elementwise(self.body[last], value):
            return
        members: set[int] = set()
        waiting = [-last]
        seen = {last}
        product = False
        while waiting and len(members) < LONGEST:
            position = -heappop(waiting)
            step = self.body[position]
            if isinstance(step, Region) or (position != last and not self._belongs(step, position, last, members)):
                continue
            if not self._elementwise(step, value):
                if product or not _is_gradient(step) or step.output.shape != value.shape:
                    continue
                product = True
                members.add(position)
                continue
            members.add(position)
            for x in step.inputs:
                maker = self.maker.get(x, -1)
                if maker >= 0 and maker not in seen:
                    seen.add(maker)
                    heappush(waiting, -maker)
        if len(members) > 1:
            self.groups[last] = members
            self.group.update(dict.fromkeys(members, last))

    def _elementwise(self, step: Step, value: Value) -> bool:
        if not isinstance(step, Instruction) or not step.op.elementwise:
            return False
        return step.output.shape == value.shape and step.output.dtype == value.dtype

    def _belongs(self, step: Instruction, position: int, last: int, members: set[int]) -> bool:
        """Whether a step may move to the place of the last member. All that could read it has been decided."""
        value = step.output
        if value in self.outputs and value not in self.written:
            return False
        written = value in self.written
        if not all(reader in members or (written and reader > last) for reader in self.readers.get(value, ())):
            return False
        for x in step.inputs:
            if x in self.updates:
                overwritten = self.maker.get(self.updates[x], -1)
                if position < overwritten < last and overwritten not in members:
                    return False
        return True
