"""A Program as a graph to draw: a box for each kernel, pills beside it for what it reads and writes, wires between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..cost import kernels, size, traffic
from ..program import Instruction, Program, Region, Step, Value
from ..show import call, chains, dimensions, formula, labels

LONGEST = 56  # characters of an op in a box: the tooltip has it whole
SAME = "as it is"  # an input that is returned, or written to a state, without an op


@dataclass(frozen=True, slots=True)
class Pill:
    """An input or a result of the program. `kind`: argument, state, feed, constant; output, updated."""

    kind: str
    text: str
    tip: str


@dataclass(frozen=True, slots=True)
class Node:
    """A kernel: its `kind` (op, or that of a region), its ops in order, and in `note` what comes out."""

    kind: str
    lines: tuple[str, ...]
    note: tuple[str, ...]
    tip: str
    layer: int
    inputs: tuple[Pill, ...] = ()
    results: tuple[Pill, ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """A value on its way from the kernel that makes it to those that read it."""

    source: int
    targets: tuple[int, ...]
    tip: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A region drawn around its members."""

    kind: str
    members: tuple[int, ...]
    tip: str


@dataclass(slots=True)
class Graph:
    """What to draw."""

    title: str
    subtitle: str
    nodes: list[Node] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)


def graph(program: Program, names: Mapping[Value, str] | None = None, title: str = "a step") -> Graph:
    """The graph of a program, at the level of its kernels. `names` are of values that have a better one."""
    steps = kernels(program.body)
    moved = size(sum(map(traffic, steps)))
    count = "1 kernel" if len(steps) == 1 else f"{len(steps)} kernels"
    drawn = Graph(title, f"{count} · {program.flops:,} FLOPs · {moved} read and written")
    _Drafting(program, labels(program, names or {})).draft(steps, drawn)
    return drawn


class _Drafting:
    """The nodes and wires of a program."""

    def __init__(self, program: Program, known: Mapping[Value, str]) -> None:
        self.program, self.known = program, known
        self.kinds = {
            **dict.fromkeys(program.arguments, "argument"),
            **dict.fromkeys(program.states, "state"),
            **dict.fromkeys(program.feeds, "feed"),
            **dict.fromkeys(program.constants, "constant"),
        }

    def draft(self, steps: list[Step], drawn: Graph) -> None:
        """Boxes, wires, frames."""
        for step, layer in zip(steps, _layers(steps, self.kinds), strict=True):
            drawn.nodes.append(self.kernel(step, layer))
        for value, kind in self.kinds.items():
            results = self.results((value,))
            if results:
                pill = self.pill(kind, value)
                drawn.nodes.append(Node("op", (SAME,), (self.sized(value),), SAME, 0, (pill,), results))
        source = {value: node for node, step in enumerate(steps) for value in step.outputs}
        readers: dict[Value, dict[int, None]] = {}
        for node, step in enumerate(steps):
            for value in step.inputs:
                readers.setdefault(value, {})[node] = None
        for value, node in source.items():
            if value in readers:
                drawn.wires.append(Wire(node, tuple(readers[value]), self.tip(value)))
        position = {id(step): number for number, step in enumerate(steps)}
        for region in self.program.body:
            if isinstance(region, Region) and region.kind == "rows":
                members = tuple(position[id(step)] for step in kernels([region]))
                tip = f"{len(members)} kernels that may run in one piece, block of rows by block of rows"
                drawn.frames.append(Frame(region.kind, members, tip))

    def kernel(self, step: Step, layer: int) -> Node:
        """The box of a kernel: its ops, chain by chain."""
        lines: list[str] = []
        for chain in chains(step):
            before = [None, *[each.output for each in chain]]
            lines += [call(each, self.known, last) for each, last in zip(chain, before, strict=False)]
        note = tuple(map(self.sized, step.outputs))
        figures = f"{step.flops:,} FLOPs, {size(traffic(step))} read and written"
        inputs = [value for value in dict.fromkeys(step.inputs) if value in self.kinds]
        return Node(
            "op" if isinstance(step, Instruction) else step.kind,
            tuple([line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in lines]),
            note,
            f"{formula(step, self.known)}\n{', '.join(note)}\n{figures}",
            layer,
            tuple(self.pill(self.kinds[value], value) for value in inputs),
            self.results(step.outputs),
        )

    def results(self, values: tuple[Value, ...]) -> tuple[Pill, ...]:
        """Pills for those of these values that are outputs, or that states hold afterwards."""
        outputs = [self.pill("output", value) for value in self.program.outputs if value in values]
        written = [
            Pill("updated", f"{self.known[target]} ←", f"holds {self.tip(value)} after the step")
            for target, value in self.program.updates.items()
            if value in values
        ]
        return (*outputs, *written)

    def pill(self, kind: str, value: Value) -> Pill:
        """A pill for an input or an output. A number needs no shape."""
        alone = kind == "constant" and value.size == 1
        return Pill(kind, self.known[value] if alone else self.sized(value), f"{kind} {self.tip(value)}")

    def sized(self, value: Value) -> str:
        """Name and shape."""
        return f"{self.known[value]}  {dimensions(value)}"

    def tip(self, value: Value) -> str:
        """All about a value."""
        return f"{self.known[value]}: {dimensions(value)}, {value.dtype}, {size(value.bytes)}"


def _layers(steps: list[Step], inputs: Mapping[Value, str]) -> list[int]:
    """The layer of each kernel: below the lowest that it reads from. What needs no argument hangs low."""
    made = {value: node for node, step in enumerate(steps) for value in step.outputs}
    before = [{made[value] for value in step.inputs if value in made} for step in steps]
    layers: list[int] = []
    loose: list[bool] = []
    for node, step in enumerate(steps):
        layers.append(1 + max((layers[other] for other in before[node]), default=-1))
        light = all(inputs[value] != "argument" for value in step.inputs if value not in made)
        loose.append(light and all(loose[other] for other in before[node]))
    after: list[list[int]] = [[] for _ in steps]
    for node, others in enumerate(before):
        for other in others:
            after[other].append(node)
    for node in reversed(range(len(steps))):
        if loose[node] and after[node]:
            layers[node] = min(layers[other] for other in after[node]) - 1
    return layers
