"""A Program as a graph to draw: a box for each kernel, pills for what goes in and comes out, wires for values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .cost import kernels, traffic
from .program import Instruction, Program, Region, Step, Value
from .show import call, chains, dimensions, formula, labels

REACH = 2  # layers: inputs that are read further away are drawn again there, so that few wires are long


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is argument, state, feed, constant, output, updated, op, or that of a region.

    `lines` are the ops of a kernel in order, or what a pill says; `note` is what comes out.
    """

    kind: str
    lines: tuple[str, ...]
    note: tuple[str, ...]
    tip: str
    layer: int


@dataclass(frozen=True, slots=True)
class Wire:
    """A value on its way from a node to others. `update` is one that ends in a state."""

    source: int
    targets: tuple[int, ...]
    tip: str
    update: bool = False


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
    bytes_moved = size(sum(map(traffic, steps)))
    count = "1 kernel" if len(steps) == 1 else f"{len(steps)} kernels"
    drawn = Graph(title, f"{count} · {program.flops:,} FLOPs · {bytes_moved} read and written")
    _Drafting(program, labels(program, names or {}), drawn).draft(steps)
    return drawn


class _Drafting:
    """The nodes and wires of a program."""

    def __init__(self, program: Program, known: Mapping[Value, str], drawn: Graph) -> None:
        self.program, self.known, self.drawn = program, known, drawn
        self.source: dict[Value, int] = {}  # the kernel that makes a value
        self.kinds = {
            **dict.fromkeys(program.arguments, "argument"),
            **dict.fromkeys(program.states, "state"),
            **dict.fromkeys(program.feeds, "feed"),
            **dict.fromkeys(program.constants, "constant"),
        }

    def draft(self, steps: list[Step]) -> None:
        """Kernels first, then what they read and what becomes of their results."""
        layers = _layers(steps, self.kinds)
        for step, layer in zip(steps, layers, strict=True):
            for value in step.outputs:
                self.source[value] = len(self.drawn.nodes)
            self.drawn.nodes.append(self.kernel(step, layer))
        regions = [each for each in self.program.body if isinstance(each, Region) and each.kind == "rows"]
        position = {id(step): number for number, step in enumerate(steps)}
        members = [{position[id(step)] for step in kernels([region])} for region in regions]
        self.inputs(steps, members)
        self.wires(steps)
        self.results()
        for region, nodes in zip(regions, members, strict=True):
            tip = f"{len(kernels([region]))} kernels that may run in one piece, block of rows by block of rows"
            self.drawn.frames.append(Frame(region.kind, tuple(sorted(nodes)), tip))

    def kernel(self, step: Step, layer: int) -> Node:
        """The box of a kernel: its ops, in chains."""
        lines = []
        for chain in chains(step):
            before = [None, *[each.output for each in chain]]
            lines += [call(each, self.known, last) for each, last in zip(chain, before, strict=False)]
        note = tuple(f"{self.known[value]}  {dimensions(value)}" for value in step.outputs)
        tip = f"{formula(step, self.known)}\n{', '.join(note)}\n{step.flops:,} FLOPs, {size(traffic(step))} read and written"
        return Node("op" if isinstance(step, Instruction) else step.kind, tuple(lines), note, tip, layer)

    def inputs(self, steps: list[Step], members: list[set[int]]) -> None:
        """A pill for each input above those that read it, and another where it is read far away or in a frame."""
        frame = {node: number for number, nodes in enumerate(members) for node in nodes}
        readers: dict[Value, list[int]] = {}
        for node, step in enumerate(steps):
            for value in dict.fromkeys(step.inputs):
                if value not in self.source:
                    readers.setdefault(value, []).append(node)
        for value, kind in self.kinds.items():
            groups: list[list[int]] = []
            for node in sorted(readers.get(value, ()), key=lambda node: (frame.get(node, -1), self.layer(node), node)):
                first = groups[-1][0] if groups else node
                if groups and self.layer(node) <= self.layer(first) + REACH and frame.get(node) == frame.get(first):
                    groups[-1].append(node)
                else:
                    groups.append([node])
            for group in groups:
                pill = self.pill(kind, value, self.layer(group[0]) - 1)
                self.drawn.wires.append(Wire(pill, tuple(group), self.tip(value)))
                if group[0] in frame:
                    members[frame[group[0]]].add(pill)

    def wires(self, steps: list[Step]) -> None:
        """From each kernel to those that read its results."""
        readers: dict[Value, dict[int, None]] = {}
        for node, step in enumerate(steps):
            for value in step.inputs:
                readers.setdefault(value, {})[node] = None
        for value, source in self.source.items():
            if value in readers:
                self.drawn.wires.append(Wire(source, tuple(readers[value]), self.tip(value)))

    def results(self) -> None:
        """A pill below for each output, and for each state that is written."""
        ends = [(value, value, "output") for value in self.program.outputs]
        ends += [(state, value, "updated") for state, value in self.program.updates.items()]
        for named, value, kind in ends:
            source = self.source.get(value)
            if source is None:  # an input is returned, or written elsewhere, as it is
                source = self.pill(self.kinds[value], value, 0)
            pill = self.pill(kind, named, self.layer(source) + 1)
            self.drawn.wires.append(Wire(source, (pill,), self.tip(value), kind == "updated"))

    def layer(self, node: int) -> int:
        """Of a node that is drawn already."""
        return self.drawn.nodes[node].layer

    def pill(self, kind: str, value: Value, layer: int) -> int:
        """A new pill."""
        text = self.known[value]
        if kind == "updated":
            text = f"{text} ←"
        elif not (kind == "constant" and value.size == 1):
            text = f"{text}  {dimensions(value)}"
        self.drawn.nodes.append(Node(kind, (text,), (), f"{kind}: {self.tip(value)}", layer))
        return len(self.drawn.nodes) - 1

    def tip(self, value: Value) -> str:
        """All about a value."""
        return f"{self.known[value]}: {dimensions(value)}, {value.dtype}, {size(value.bytes)}"


def _layers(steps: list[Step], inputs: Mapping[Value, str]) -> list[int]:
    """The layer of each kernel: one below the lowest that it reads from. What reads only constants hangs low."""
    made: dict[Value, int] = {}
    layers, loose = [], []
    for node, step in enumerate(steps):
        before = [made[value] for value in step.inputs if value in made]
        layers.append(1 + max((layers[other] for other in before), default=0))
        if all(loose[made[v]] if v in made else inputs[v] in ("constant", "feed") for v in step.inputs):
            loose.append(True)
        else:
            loose.append(False)
        made.update(dict.fromkeys(step.outputs, node))
    below: list[list[int]] = [[] for _ in steps]
    for node, step in enumerate(steps):
        for value in step.inputs:
            if value in made:
                below[made[value]].append(node)
    for node in reversed(range(len(steps))):
        if loose[node] and below[node]:
            layers[node] = min(layers[other] for other in below[node]) - 1
    return layers


def size(count: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"

