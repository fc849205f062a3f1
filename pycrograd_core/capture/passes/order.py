"""A new order of a program's steps, in which those that become one region stand together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..program import Program, Step, Value, region


class Group:
    """Steps that are to become a region. It is open until a step outside it reads what it makes."""

    __slots__ = ("closed", "into", "latest", "members", "place", "tag", "writes")

    def __init__(self, tag: Any) -> None:
        self.tag = tag  # what its members have in common, for whoever forms it
        self.members: list[tuple[int, Step]] = []
        self.closed = False
        self.place = -1
        self.latest = -1  # of the places of what it reads
        self.writes = False  # whether it makes what a state is to hold
        self.into: Group | None = None  # the group that it was merged into


class Order:
    """The order under construction. Steps come in their old order, each alone or into a group.

    An open group stands where its last member came: by then all that it reads has been made, and nothing has been made
    from it. A closed group stays where it is, and takes in only what could have been made there. So each order that
    results is legal, no path leaves a group and comes back, and a step costs no more than its inputs.

    No step that reads a state moves behind the step that makes what the state holds next: that would cost a copy.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.count = 0
        self._slots: list[Step | Group | None] = []
        self._made: dict[Value, int] = {}
        self._owner: dict[Value, Group] = {}
        self._readers: dict[Value, list[Group]] = {}  # of states that are not overwritten yet
        self._targets: dict[Value, list[Value]] = {}
        for target, value in program.updates.items():
            self._targets.setdefault(value, []).append(target)

    def group(self, value: Value) -> Group | None:
        """The group that makes a value, if one does."""
        group = self._owner.get(value)
        while group is not None and group.into is not None:
            group = group.into
        return group

    def admits(self, group: Group, step: Step, others: list[Group] | tuple[()] = ()) -> bool:
        """Whether a step may join a group, if these others do as well."""
        if not group.closed:
            return True
        if any(value in self._targets for value in step.outputs):
            return False
        for value in step.inputs:
            maker = self.group(value)
            if maker is not group and maker not in others and self._place(value, maker) >= group.place:
                return False
        return True

    def mergeable(self, group: Group, into: Group) -> bool:
        """Whether all of an open group could stand where another one does."""
        return not group.closed and (not into.closed or (group.latest < into.place and not group.writes))

    def merge(self, group: Group, into: Group) -> Group:
        """One group of two, to which the next step is added. Returns it."""
        if len(group.members) > len(into.members):
            group.closed, group.place, group.tag = into.closed, into.place, into.tag
            group, into = into, group
            self._slots[into.place] = into
        into.members += group.members
        into.latest = max(into.latest, group.latest)
        into.writes = into.writes or group.writes
        group.members = []
        group.into = into
        return into

    def add(self, step: Step, group: Group | None = None) -> None:
        """The next step: into a group that admits it, or alone."""
        for value in step.inputs:
            maker = self.group(value)
            if maker is None or maker is not group:
                if maker is not None:
                    maker.closed = True
                if group is not None:
                    group.latest = max(group.latest, self._place(value, maker))
            if group is not None and value in self.program.updates:
                self._readers.setdefault(value, []).append(group)
        self._overwrite(step, group)
        if group is None:
            self._made.update(dict.fromkeys(step.outputs, len(self._slots)))
            self._slots.append(step)
        else:
            group.members.append((self.count, step))
            self._owner.update(dict.fromkeys(step.outputs, group))
            if not group.closed:
                group.place = len(self._slots)
                self._slots.append(group)
        self.count += 1

    def finish(self, kind: str, worthwhile: Callable[[list[Step]], bool] = lambda body: len(body) > 1) -> Program:
        """The program in its new order, with a region for each group that is worth it: itself, if none is."""
        pieces: list[tuple[bool, list[Step]]] = []
        for place, slot in enumerate(self._slots):
            if not isinstance(slot, Group):
                assert slot is not None
                pieces.append((False, [slot]))
            elif slot.into is None and slot.place == place:
                body = [step for _, step in sorted(slot.members, key=lambda member: member[0])]
                pieces.append((worthwhile(body), body))
        if not any(worth for worth, _ in pieces):
            return self.program
        needed = set(self.program.results)
        for _, body in pieces:
            inside = {value for step in body for value in step.outputs} if len(body) > 1 else ()
            needed.update([value for step in body for value in step.inputs if value not in inside])
        steps: list[Step] = []
        for worth, body in pieces:
            steps += [region(kind, body, needed.__contains__)] if worth else body
        return self.program.with_body(steps)

    def _place(self, value: Value, maker: Group | None) -> int:
        return self._made.get(value, -1) if maker is None else maker.place

    def _overwrite(self, step: Step, group: Group | None) -> None:
        """If a step makes what a state is to hold, what reads the state stands before it, and stays there."""
        for value in step.outputs:
            for target in self._targets.get(value, ()):
                if group is not None:
                    group.writes = True
                for reader in self._readers.pop(target, ()):
                    while reader.into is not None:
                        reader = reader.into
                    if reader is not group:
                        reader.closed = True
