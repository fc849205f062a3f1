"""Where things go in a layered drawing: after Sugiyama, Tagawa and Toda (1981), from top to bottom.

Nodes come with their layers. A wire from a node to others passes every layer between them at a bend, which the wire's
branches share. Bends and nodes are ordered within their layers so that few arcs cross, then moved sideways, as near to
their neighbours as the space allows.
"""

from __future__ import annotations

import math
from bisect import bisect, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

BEND = 9.0  # the width of a wire that passes a layer
SPACE, CLEAR, GAP = 26.0, 5.0, 44.0  # between boxes, beside a wire, between layers
PORT = 18.0  # between the ends of two wires at a box
MARGIN = 18.0  # of a frame around its members
ORDERINGS, PLACINGS = 12, 24  # sweeps down and up

Size = tuple[float, float, float, float]  # left and right of its wires; the height, and that of the box
Wire = tuple[int, Sequence[int]]  # from a node to others, all of them in later layers


@dataclass(frozen=True, slots=True)
class Spot:
    """A node or a bend: where its wires are attached, what it takes to the left and right, and its box in height."""

    x: float
    y: float
    left: float
    right: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """`spots` of the nodes; the arcs of each wire as points from top to bottom; the box of each frame; all the space.

    The last arc of each way ends at a node: it has four points, and one that ends at a bend has five.
    """

    spots: list[Spot]
    wires: list[list[list[tuple[float, float]]]]
    frames: list[tuple[float, float, float, float]]
    width: float
    height: float


@dataclass(slots=True)
class _Grid:
    """Nodes and bends, layer by layer. A `band` is a frame's number; what is outside of frames has the last."""

    left: list[float]
    right: list[float]
    layer: list[int]
    band: list[int]
    nodes: int
    rows: list[list[int]]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)
    arcs: list[list[tuple[int, int]]] = field(default_factory=list)  # of each wire
    depth: dict[int, int] = field(default_factory=dict)  # how many layers depend on a node

    def bend(self, layer: int, band: int) -> int:
        """A new bend."""
        number = len(self.left)
        self.left.append(BEND / 2)
        self.right.append(BEND / 2)
        self.layer.append(layer)
        self.band.append(band)
        self.rows[layer].append(number)
        self.above.append([])
        self.below.append([])
        return number

    def room(self, left: int, right: int) -> float:
        """What there must be between the middles of two neighbours."""
        boxes = (left < self.nodes) + (right < self.nodes)
        return self.right[left] + self.left[right] + (CLEAR, 3 * CLEAR, SPACE)[boxes]


def arrange(
    sizes: Sequence[Size],
    layers: Sequence[int],
    wires: Sequence[Wire],
    frames: Sequence[Sequence[int]] = (),
) -> Layout:
    """Lay nodes out. Each of `frames` is a group of nodes that one box encloses, with no others in it."""
    grid = _grid(sizes, layers, wires, frames)
    _order(grid)
    middles, boxes = _place(grid, len(frames))
    return _drawn(grid, sizes, middles, boxes)


def _grid(
    sizes: Sequence[Size],
    layers: Sequence[int],
    wires: Sequence[Wire],
    frames: Sequence[Sequence[int]],
) -> _Grid:
    count = len(sizes)
    rows: list[list[int]] = [[] for _ in range(max(layers, default=-1) + 1)]
    for node, layer in enumerate(layers):
        rows[layer].append(node)
    band = [len(frames)] * count
    for number, members in enumerate(frames):
        for node in members:
            band[node] = number
    grid = _Grid([each[0] for each in sizes], [each[1] for each in sizes], list(layers), band, count, rows)
    grid.above, grid.below = [[] for _ in range(count)], [[] for _ in range(count)]
    for source, targets in wires:
        last, arcs = source, []
        ends = sorted(set(targets), key=lambda node: (layers[node], node))
        for layer in range(layers[source] + 1, layers[ends[-1]] + 1):
            arcs += [(last, node) for node in ends if layers[node] == layer]
            if layer < layers[ends[-1]]:
                bend = grid.bend(layer, band[source])
                arcs.append((last, bend))
                last = bend
        for upper, lower in arcs:
            grid.below[upper].append(lower)
            grid.above[lower].append(upper)
        grid.arcs.append(arcs)
    for row in reversed(grid.rows):
        for node in row:
            grid.depth[node] = max((grid.depth[other] + 1 for other in grid.below[node]), default=0)
    return grid


# Order within the layers --------------------------------------------------------------------------------------------


def _order(grid: _Grid) -> None:
    """Sort each layer by where the neighbours are, downwards and upwards in turn, and keep the best."""
    best, fewest = [list(row) for row in grid.rows], _crossings(grid)
    for sweep in range(ORDERINGS):
        down = sweep % 2 == 0
        neighbours = grid.above if down else grid.below
        rows = grid.rows if down else grid.rows[::-1]
        for before, row in pairwise(rows):
            place = {node: position / max(len(before) - 1, 1) for position, node in enumerate(before)}
            own = {node: position / max(len(row) - 1, 1) for position, node in enumerate(row)}

            def middle(node: int, place: dict[int, float] = place, own: dict[int, float] = own) -> tuple[int, float]:
                near = [place[other] for other in neighbours[node]]  # noqa: B023  used before the next sweep
                return grid.band[node], sum(near) / len(near) if near else own[node]

            row.sort(key=middle)
        crossings = _crossings(grid)
        if crossings < fewest:
            best, fewest = [list(row) for row in grid.rows], crossings
    grid.rows[:] = best
    for row in grid.rows:
        row.sort(key=lambda node: grid.band[node])  # the first order of all knew no bands


def _crossings(grid: _Grid) -> int:
    """How many pairs of arcs cross."""
    total = 0
    for row, lower in pairwise(grid.rows):
        place = {node: position for position, node in enumerate(lower)}
        seen: list[int] = []
        for node in row:
            ends = sorted(place[other] for other in grid.below[node])
            total += sum(len(seen) - bisect(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


# Places within the layers -------------------------------------------------------------------------------------------


def _place(grid: _Grid, frames: int) -> tuple[list[float], list[tuple[int, int, float, float]]]:
    """The middle of each node and bend, and of each frame its first and last layer and its left and right edge.

    Frames come one after the other from left to right, then what is in none: it stays right of the frames it passes.
    """
    middles = [0.0] * len(grid.left)
    edges = [-math.inf] * len(grid.rows)  # what is taken already, by layer
    boxes = []
    for band in range(frames + 1):
        rows = [[node for node in row if grid.band[node] == band] for row in grid.rows]
        used = [layer for layer, row in enumerate(rows) if any(node < grid.nodes for node in row)]
        if not used:
            continue
        framed = band < frames
        starts = list(edges)
        if framed:
            inner = range(used[0], used[-1] + 1)
            left = max(edges[layer] for layer in inner)
            for layer in inner:
                starts[layer] = left + MARGIN
        _sway(grid, rows, band, middles, starts)
        ends = [max((middles[n] + grid.right[n] + SPACE for n in row), default=-math.inf) for row in rows]
        edges = list(map(max, edges, ends))
        if framed:
            right = max(ends[layer] for layer in inner) - SPACE + MARGIN
            lowest = min(middles[n] - grid.left[n] for layer in inner for n in rows[layer]) - MARGIN
            boxes.append((used[0], used[-1], lowest, right))
            for layer in inner:
                edges[layer] = right + SPACE
    return middles, boxes


def _sway(grid: _Grid, rows: list[list[int]], band: int, middles: list[float], starts: list[float]) -> None:
    """Move a band's nodes towards their neighbours above, then below, in turn, and right of where each layer starts."""
    for layer, row in enumerate(rows):
        x = starts[layer] if math.isfinite(starts[layer]) else 0.0
        for node in row:
            middles[node] = x + grid.left[node]
            x += grid.left[node] + grid.right[node] + SPACE
    widest = max(range(len(rows)), key=lambda layer: middles[rows[layer][-1]] if rows[layer] else 0.0)
    down, up = list(range(len(rows))), list(reversed(range(len(rows))))
    passes = [(down[widest:], grid.above), (up[len(rows) - 1 - widest :], grid.below)]
    passes += [(down, grid.above), (up, grid.below)] * (PLACINGS // 2)
    for order, neighbours in passes:
        for layer in order:
            wishes = [_wish(grid, node, neighbours[node], band, middles) for node in rows[layer]]
            for node, x in zip(rows[layer], _apart(rows[layer], wishes, grid.room, starts[layer], grid), strict=True):
                middles[node] = x


def _wish(grid: _Grid, node: int, neighbours: list[int], band: int, middles: list[float]) -> tuple[float, float]:
    """Where a node wants to be, and how much: boxes below boxes, those with more to come first, wires straight."""
    near = [other for other in neighbours if grid.band[other] <= band]
    alike = [other for other in near if (other < grid.nodes) == (node < grid.nodes)]
    chosen = alike or near
    if not chosen:
        return middles[node], 0.2
    wish = sum(middles[other] for other in chosen) / len(chosen)
    if node < grid.nodes:
        return wish, min(4.0 * grid.depth[node] + 2.0, 60.0)
    return wish, 2.0


def _apart(
    row: list[int],
    wishes: list[tuple[float, float]],
    room: Callable[[int, int], float],
    start: float,
    grid: _Grid,
) -> list[float]:
    """The middles nearest to weighted wishes (by squares) with room between: neighbours in the way move as one."""
    if not row:
        return []
    shift, total = [0.0], 0.0
    for left, right in pairwise(row):
        total += room(left, right)
        shift.append(total)
    blocks: list[list[float]] = []  # mean wish, weight, members
    for (wish, weight), moved in zip(wishes, shift, strict=True):
        blocks.append([wish - moved, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, weighs, members = blocks.pop()
            other = blocks[-1]
            other[0] = (other[0] * other[1] + mean * weighs) / (other[1] + weighs)
            other[1] += weighs
            other[2] += members
    lowest = start + grid.left[row[0]]
    bases = [max(mean, lowest) for mean, _, members in blocks for _ in range(int(members))]
    return [base + moved for base, moved in zip(bases, shift, strict=True)]


# The drawing --------------------------------------------------------------------------------------------------------


def _drawn(
    grid: _Grid,
    sizes: Sequence[Size],
    middles: list[float],
    boxes: list[tuple[int, int, float, float]],
) -> Layout:
    """Coordinates, moved so that they begin at 0."""
    left = min([middles[n] - grid.left[n] for n in range(len(middles))] + [box[2] for box in boxes], default=0.0)
    tops, bottoms, y = [], [], MARGIN if boxes else 0.0
    for row in grid.rows:
        tops.append(y)
        y += max((sizes[node][2] for node in row if node < grid.nodes), default=0.0)
        bottoms.append(y)
        y += GAP
    spots = []
    for node, layer in enumerate(grid.layer):
        height = sizes[node][3] if node < grid.nodes else bottoms[layer] - tops[layer]
        middle = (tops[layer] + bottoms[layer]) / 2
        spots.append(Spot(middles[node] - left, middle, grid.left[node], grid.right[node], height))
    ports = _ports(grid, spots)
    wires = []
    for arcs in grid.arcs:
        paths = []
        for upper, lower in arcs:
            x, end = spots[upper].x, ports[upper, lower]
            path = [
                (x, spots[upper].y + spots[upper].height / 2),
                (x, bottoms[grid.layer[upper]]),
                (end, tops[grid.layer[lower]]),
                (end, spots[lower].y - spots[lower].height / 2),
            ]
            if lower >= grid.nodes:
                path.append((end, spots[lower].y + spots[lower].height / 2))
            paths.append(path)
        wires.append(paths)
    frames = [
        (x - left, tops[first] - MARGIN, right - x, bottoms[last] - tops[first] + 2 * MARGIN)
        for first, last, x, right in boxes
    ]
    width = max([spot.x + spot.right for spot in spots] + [x + across for x, _, across, _ in frames], default=0.0)
    height = max([y - GAP if grid.rows else 0.0] + [y + high for _, y, _, high in frames])
    return Layout(spots[: grid.nodes], wires, frames, width, height)


def _ports(grid: _Grid, spots: list[Spot]) -> dict[tuple[int, int], float]:
    """Where arcs arrive: side by side on the top of a box, in the order in which they come."""
    ports = {}
    for node, uppers in enumerate(grid.above):
        uppers = sorted(set(uppers), key=lambda upper: (spots[upper].x, upper))
        step = PORT if node < grid.nodes else 0.0
        for position, upper in enumerate(uppers):
            ports[upper, node] = spots[node].x + step * (position - (len(uppers) - 1) / 2)
    return ports
