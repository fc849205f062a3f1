"""The work of one step of a program, cut into tiles that do not wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pycrograd_core.capture.program import Instruction

from ..gemm import Launch
from .places import Place, meet

Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Own:
    """A kernel that is launched for itself, and where its arguments are."""

    launch: Launch
    arguments: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Eager:
    """A step by the kernels of eager mode, on the matrices in these places."""

    step: Instruction
    operands: tuple[Place, ...]
    result: Place


@dataclass(frozen=True, slots=True)
class Task:
    """`body` are the statements for tile number `t`, of `tiles`; `step` is the number of the step in a loop.

    `reads` and `writes` say which memory: two tasks may run at once if neither writes what the other touches. A task
    with a launch of its `own` has neither tiles nor a body.
    """

    tiles: int
    body: str
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    own: Own | Eager | None = None

    @property
    def bases(self) -> set[str]:
        """The parameters that it needs."""
        return {span[0] for span in (*self.reads, *self.writes)}

    def follows(self, other: Task) -> bool:
        """Whether it must wait for another that comes before it."""
        return meet(self.reads, other.writes) or meet(self.writes, other.reads) or meet(self.writes, other.writes)


def spans(places: Sequence[Place]) -> tuple[Span, ...]:
    """The memory of values, each piece once."""
    return tuple(dict.fromkeys(place.span for place in places))


@dataclass(slots=True)
class Functions:
    """The C functions of a program: each text once, however many steps call it."""

    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def name(self, prefix: str, parameters: str, body: str, result: str = "void") -> str:
        """The name of a function, which is added if there is none like it."""
        key = (result, f"({parameters})\n{{\n{body}\n}}\n")
        if key not in self.names:
            self.names[key] = f"{prefix}_{len(self.names)}"
        return self.names[key]

    @property
    def source(self) -> str:
        """All of them, in the order in which they were added."""
        return "\n".join(f"static {result} {name}{text}" for (result, text), name in self.names.items())


def together(tasks: Sequence[Task], parameters: int) -> list[list[Task]]:
    """Tasks as groups in an order in which those of a group may run at once, each as soon as it can.

    A group needs no more than so many parameters, and a launch of its own is a group of its own.
    """
    levels: list[list[Task]] = []
    touched: dict[str, list[tuple[int, Task]]] = {}  # for each parameter, the tasks that need it, and their levels
    for task in tasks:
        earlier = {id(other): (level, other) for base in task.bases for level, other in touched.get(base, ())}
        level = max((level + 1 for level, other in earlier.values() if task.follows(other)), default=0)
        levels += [[] for _ in range(level + 1 - len(levels))]
        levels[level].append(task)
        for base in task.bases:
            touched.setdefault(base, []).append((level, task))
    groups: list[list[Task]] = []
    for level_tasks in levels:
        groups += [[task] for task in level_tasks if task.own is not None]
        shared: list[Task] = []
        bases: set[str] = set()
        for task in (task for task in level_tasks if task.own is None):
            if shared and len(bases | task.bases) > parameters:
                groups.append(shared)
                shared, bases = [], set()
            shared.append(task)
            bases |= task.bases
        if shared:
            groups.append(shared)
    return groups
