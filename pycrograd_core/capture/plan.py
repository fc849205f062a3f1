"""Where the values of a program live: memory planned by lifetime, before anything runs.

A value is computed in the memory of the state that it is to become, or takes over the memory of an operand that dies
in its own step, or gets a place in one arena that is used again when the value has been read for the last time.
After the linear scan of register allocators, with a best-fit free list.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pycrograd_core.errors import Shape

from .program import Instruction, Program, Region, Step, Value

ALIGNMENT = 64  # bytes: a cache line, and more than any vector register needs


@dataclass(frozen=True)
class Plan:
    """The memory of one program. Every value that it makes is in `homes`, `outputs` or `roots`, or inside a region.

    `steps` are the instructions and atomic regions in order. `homes`: the state or argument in whose memory a value is
    computed. `outputs`: values that need memory of their own, which the caller keeps. `roots`: of every other value the
    first value in the same memory, which is itself unless it was computed in place; `spans` says from which step to
    which a root's memory is in use (`len(steps)`: to the end), and `offsets` where it begins in the arena, in bytes.
    `scratch`: where a step finds the memory that it asked for. `saved` are inputs to copy to their offset before the
    first step, because they are overwritten and needed afterwards. `copies` are the updates that are still to be
    written when all steps are done: (state, value), in any order.
    """

    steps: tuple[Step, ...]
    homes: Mapping[Value, Value]
    outputs: frozenset[Value]
    roots: Mapping[Value, Value]
    spans: Mapping[Value, tuple[int, int]]
    offsets: Mapping[Value, int]
    scratch: Mapping[Step, int]
    saved: tuple[Value, ...]
    copies: tuple[tuple[Value, Value], ...]
    size: int  # bytes of the arena
    unshared: int  # bytes, if every instruction had memory of its own

    @cached_property
    def buffers(self) -> tuple[Mapping[Value, int], tuple[tuple[Shape, str], ...]]:
        """For whoever cannot cut up an arena: the number of a whole matrix for each root, and the kind of each matrix.

        A matrix is used again only for a value of its own shape and dtype.
        """
        starting, ending = _events(self.spans, len(self.steps))
        numbers: dict[Value, int] = {}
        kinds: list[tuple[Shape, str]] = []
        free: dict[tuple[Shape, str], list[int]] = {}
        for starts, ends in zip(starting, ending, strict=True):
            for value in starts:
                kind = (value.shape, value.dtype)
                if free.get(kind):
                    numbers[value] = free[kind].pop()
                else:
                    numbers[value] = len(kinds)
                    kinds.append(kind)
            for value in ends:
                free.setdefault((value.shape, value.dtype), []).append(numbers[value])
        return numbers, tuple(kinds)


def plan(
    program: Program,
    atomic: Callable[[Region], bool] = lambda region: False,
    scratch: Callable[[Step], int] = lambda step: 0,
) -> Plan:
    """Plan the memory of a program.

    `atomic` says which regions are run in one piece: what they make inside is not planned. Others are walked into.
    `scratch` says how many bytes a step needs while it runs.
    """
    steps = tuple(_walk(program.body, atomic))
    made = {value: position for position, step in enumerate(steps) for value in step.outputs}
    last = dict(made)  # what is never read dies where it is made
    for position, step in enumerate(steps):
        for value in step.inputs:
            last[value] = position
    homes = _homes(program, steps, made, last)
    outputs = frozenset(value for value in program.outputs if value in made and value not in homes)
    copies = tuple((target, value) for target, value in program.updates.items() if _remains(target, value, homes))
    saved = tuple(dict.fromkeys(value for _, value in copies if value not in made and value in program.updates))
    for _, value in copies:
        last[value] = len(steps)
    roots = _roots(steps, last, homes.keys() | outputs)
    spans = {value: (-1, len(steps)) for value in saved}
    for value, root in roots.items():
        spans[root] = (made[root], last[value])  # the values of one root come in order: the last one counts
    offsets, places, size = _arranged(steps, spans, scratch)
    unshared = sum(_aligned(instruction.output.bytes) for instruction in program.instructions)
    return Plan(steps, homes, outputs, roots, spans, offsets, places, saved, copies, size, unshared)


def _walk(body: Iterable[Step], atomic: Callable[[Region], bool]) -> Iterator[Step]:
    for step in body:
        if isinstance(step, Region) and not atomic(step):
            yield from _walk(step.body, atomic)
        else:
            yield step


def _remains(target: Value, value: Value, homes: Mapping[Value, Value]) -> bool:
    """Whether an update is still to be written when all steps are done."""
    return value is not target and homes.get(value) is not target


def _overwrites(step: Step) -> bool:
    """Whether a step may write its result over an operand."""
    return step.op.elementwise if isinstance(step, Instruction) else step.kind == "update"


def _homes(
    program: Program, steps: tuple[Step, ...], made: Mapping[Value, int], last: Mapping[Value, int]
) -> dict[Value, Value]:
    """The values that are computed in a state's or argument's own memory, because nobody reads the old contents later.

    That holds of the value that it is to become, and of those before it in a chain of elementwise steps.
    """
    homes: dict[Value, Value] = {}
    finals = set(program.results)

    def fits(value: Value, target: Value) -> bool:
        position = made[value]
        read = last.get(target, -1)
        return read < position or (read == position and _overwrites(steps[position]))

    for target, value in program.updates.items():
        found: Value | None = value if value in made and value not in homes and fits(value, target) else None
        while found is not None:
            homes[found] = target
            position = made[found]
            step = steps[position]
            chain = step.inputs if isinstance(step, Instruction) and step.op.elementwise else ()
            found = next(
                (
                    each
                    for each in chain
                    if each in made and each not in homes and each not in finals and last[each] == position
                    and (each.shape, each.dtype) == (target.shape, target.dtype) and fits(each, target)
                ),
                None,
            )  # fmt: skip
    return homes


def _roots(steps: tuple[Step, ...], last: Mapping[Value, int], placed: Iterable[Value]) -> dict[Value, Value]:
    """For each value of the arena the first in its memory: an elementwise step may overwrite an operand that dies."""
    elsewhere = set(placed)
    roots: dict[Value, Value] = {}
    for position, step in enumerate(steps):
        for value in step.outputs:
            if value in elsewhere:
                continue
            operands = step.inputs if isinstance(step, Instruction) and step.op.elementwise else ()
            dying = (each for each in operands if each in roots and last[each] == position)
            kind = (value.shape, value.dtype)
            roots[value] = next((roots[each] for each in dying if (each.shape, each.dtype) == kind), value)
    return roots


def _events(spans: Mapping[Value, tuple[int, int]], count: int) -> tuple[list[list[Value]], list[list[Value]]]:
    """The values whose memory is first used in each step, and those whose memory is last used in it.

    The first entry is for before the steps, the last for after them.
    """
    starting: list[list[Value]] = [[] for _ in range(count + 2)]
    ending: list[list[Value]] = [[] for _ in range(count + 2)]
    for value, (start, end) in spans.items():
        starting[start + 1].append(value)
        ending[end + 1].append(value)
    return starting, ending


def _arranged(
    steps: tuple[Step, ...], spans: Mapping[Value, tuple[int, int]], scratch: Callable[[Step], int]
) -> tuple[dict[Value, int], dict[Step, int], int]:
    """The offset of each value of `spans` and of each step's scratch memory, and the size of the arena."""
    arena = _Arena()
    offsets: dict[Value, int] = {}
    places: dict[Step, int] = {}
    for position, (starts, ends) in enumerate(zip(*_events(spans, len(steps)), strict=True)):
        for value in starts:
            offsets[value] = arena.take(_aligned(value.bytes))
        if 0 < position <= len(steps):
            step = steps[position - 1]
            needed = _aligned(scratch(step))
            if needed:
                places[step] = arena.take(needed)
                arena.give(places[step], needed)
        for value in ends:
            arena.give(offsets[value], _aligned(value.bytes))
    return offsets, places, arena.size


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


class _Arena:
    """Memory that is taken and given back in pieces. It grows when no free piece is large enough."""

    def __init__(self) -> None:
        self.size = 0
        self._sorted: list[tuple[int, int]] = []  # free pieces: (size, start)
        self._starts: dict[int, int] = {}  # start -> size
        self._ends: dict[int, int] = {}  # end -> start

    def take(self, size: int) -> int:
        """The offset of a piece: of the smallest free one that is large enough, or at the end."""
        if not size:
            return 0
        place = bisect_left(self._sorted, (size, 0))
        if place < len(self._sorted):
            length, start = self._sorted[place]
            self._remove(start, length)
        else:
            start = self._ends.get(self.size, self.size)  # a free piece at the end is extended
            if start < self.size:
                self._remove(start, self.size - start)
            length = size
            self.size = start + size
        if length > size:
            self._insert(start + size, length - size)
        return start

    def give(self, start: int, size: int) -> None:
        """Make a piece free, as one with the free ones beside it."""
        if not size:
            return
        if start + size in self._starts:
            length = self._starts[start + size]
            self._remove(start + size, length)
            size += length
        if start in self._ends:
            before = self._ends[start]
            self._remove(before, start - before)
            size += start - before
            start = before
        self._insert(start, size)

    def _insert(self, start: int, size: int) -> None:
        insort(self._sorted, (size, start))
        self._starts[start] = size
        self._ends[start + size] = start

    def _remove(self, start: int, size: int) -> None:
        del self._sorted[bisect_left(self._sorted, (size, start))]
        del self._starts[start]
        del self._ends[start + size]
