"""Drawings: what is in them, and that nothing covers anything else."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.drawing.dot import dot, quoted
from pycrograd_core.capture.drawing.graph import graph
from pycrograd_core.capture.drawing.layout import BEND, GAP, arrange
from pycrograd_core.capture.drawing.svg import svg
from pycrograd_core.capture.program import region
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.capture.symbolic import ShapeMatrix

SVG = "{http://www.w3.org/2000/svg}"


def program_of(layers, fused):
    """Linear layers forward and backward, with updates; fused, forward and backward are one row-local region."""
    recorder = Recorder(ShapeMatrix)
    x = recorder.argument((8, 16), "float32")
    weights = [recorder.state(ShapeMatrix.full(16, 16, 0.0, "float32")) for _ in range(layers)]
    before = [(w.current, w) for w in weights]
    rate = recorder.kind.full(1, 1, 0.1, "float32")
    activations = [x]
    for w in weights:
        activations.append(ops.relu(ops.matmul(activations[-1], w)))
    g = activations[-1] * 0.5
    gradients = []
    for w, y in zip(reversed(weights), reversed(activations[1:]), strict=True):
        g = ops.relu_gradient(g, y)
        gradients.append(g)
        g = ops.matmul(g, w, transpose_b=True)
    for w, y, g in zip(reversed(weights), reversed(activations[:-1]), gradients, strict=True):
        w.update(ops.sgd_update, (w, ops.matmul(y, g, transpose_a=True), rate), {})
    loss = ops.sum(activations[-1])
    program = recorder.program([loss], before)
    names = {program.arguments[0]: "x", **{value: f"{number}.weight" for number, (value, _) in enumerate(before)}}
    if fused:
        first = layers * 2 + 1 + layers * 2
        rows, rest = program.body[:first], program.body[first:]
        read = {value for step in rest for value in step.inputs} | set(program.results)
        program = program.with_body([region("rows", rows, lambda value: value in read), *rest])
    return program, names


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def boxes(layout, sizes):
    return [
        (spot.x - left, spot.y - high / 2, spot.x + right, spot.y + high / 2)
        for spot, (left, right, high, _) in zip(layout.spots, sizes, strict=True)
    ]


# Layout

SIZES = [(40.0 + 7 * (n % 5), 30.0 + 11 * (n % 3), 20.0 + 5 * (n % 4), 20.0) for n in range(14)]
LAYERS = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5]
WIRES = [
    (0, [3, 9]),
    (1, [3, 4]),
    (2, [4, 13]),
    (3, [5, 6]),
    (4, [7, 12]),
    (5, [8]),
    (7, [9]),
    (8, [10, 11]),
    (9, [11]),
]
FRAMES = {"none": [], "one": [[0, 3, 5, 8]], "two": [[0, 3, 5], [2, 4, 7, 9]]}


@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES)
def test_boxes_cover_nothing_and_wires_go_down(frames):
    layout = arrange(SIZES, LAYERS, WIRES, frames)
    found = boxes(layout, SIZES)
    assert not any(overlap(a, b) for a, b in itertools.combinations(found, 2))
    for left, top, right, bottom in found:
        assert 0 <= left < right <= layout.width + 1e-9
        assert 0 <= top < bottom <= layout.height + 1e-9
    for (source, targets), arcs in zip(WIRES, layout.wires, strict=True):
        starts = {path[0] for path in arcs}
        spot = layout.spots[source]
        assert (spot.x, spot.y + spot.height / 2) in starts
        ends = [path[-1] for path in arcs if len(path) == 4]
        assert len(ends) == len(targets)
        for target in targets:
            left, _, right, _ = found[target]
            top = layout.spots[target].y - layout.spots[target].height / 2
            assert any(left < x < right and y == top for x, y in ends)
        assert starts <= {path[-1] for path in arcs} | {(spot.x, spot.y + spot.height / 2)}, "arcs are joined"
        for path in arcs:
            assert all(above[1] <= below[1] for above, below in itertools.pairwise(path))


@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES)
def test_a_frame_encloses_its_members_and_no_others(frames):
    layout = arrange(SIZES, LAYERS, WIRES, frames)
    assert len(layout.frames) == len(frames)
    for (x, y, wide, high), members in zip(layout.frames, frames, strict=True):
        for node, box in enumerate(boxes(layout, SIZES)):
            inside = x <= box[0] and y <= box[1] and box[2] <= x + wide and box[3] <= y + high
            assert inside == (node in members)
            assert inside or not overlap(box, (x, y, x + wide, y + high))


def test_a_wire_past_a_layer_misses_its_boxes():
    layout = arrange([(50.0, 50.0, 30.0, 30.0)] * 3, [0, 1, 2], [(0, [1, 2]), (1, [2])])
    past = next(path for arcs in layout.wires for path in arcs if len(path) == 5)
    middle = layout.spots[1]
    assert past[3][0] == past[4][0]
    assert abs(past[3][0] - middle.x) >= 50 + BEND / 2


def test_layers_are_apart_and_a_chain_is_straight():
    layout = arrange([(50.0, 30.0, 30.0, 30.0)] * 4, [0, 1, 2, 3], [(0, [1]), (1, [2]), (2, [3])])
    assert [spot.y for spot in layout.spots] == pytest.approx([15 + n * (30 + GAP) for n in range(4)])
    assert [spot.x for spot in layout.spots] == pytest.approx([50.0] * 4)


def test_crossed_wires_are_uncrossed():
    size = (20.0, 20.0, 10.0, 10.0)
    layout = arrange([size] * 6, [0, 0, 0, 1, 1, 1], [(0, [5]), (1, [4]), (2, [3])])
    above = sorted(range(3), key=lambda node: layout.spots[node].x)
    below = sorted(range(3, 6), key=lambda node: layout.spots[node].x)
    assert below == [5 - node for node in above]


def test_nothing_at_all():
    layout = arrange([], [], [])
    assert (layout.spots, layout.wires, layout.frames) == ([], [], [])


# The graph


def test_a_graph_has_a_box_for_each_kernel_and_pills_for_what_it_reads_and_writes():
    program, names = program_of(1, fused=False)
    drawn = graph(program, names, "title")
    assert drawn.title == "title"
    assert drawn.subtitle.startswith(f"8 kernels · {program.flops:,} FLOPs · ")
    by_line = {node.lines[0]: node for node in drawn.nodes}
    first = by_line["matmul(x, 0.weight)"]
    assert [(pill.kind, pill.text) for pill in first.inputs] == [("argument", "x  8×16"), ("state", "0.weight  16×16")]
    assert first.note == ("v0  8×16",)
    assert f"{2 * 8 * 16 * 16:,} FLOPs" in first.tip
    update = by_line["sgd_update(0.weight, v5, 0.1)"]
    assert [(pill.kind, pill.text) for pill in update.inputs] == [("state", "0.weight  16×16"), ("constant", "0.1")]
    assert [(pill.kind, pill.text) for pill in update.results] == [("updated", "0.weight ←")]
    assert [pill.kind for pill in by_line["sum(v1)"].results] == ["output"]
    wires = {(wire.source, target) for wire in drawn.wires for target in wire.targets}
    steps = list(program.body)
    expected = {(steps.index(a), steps.index(b)) for a in steps for b in steps if a.output in b.inputs}
    assert wires == expected
    assert all(drawn.nodes[a].layer < drawn.nodes[b].layer for a, b in wires)


def test_an_input_that_is_returned_as_it_is_has_a_box():
    program = trace_matrices(lambda a, b: (a, a + b), ShapeMatrix, (2, 2), (2, 2))
    drawn = graph(program)
    same = next(node for node in drawn.nodes if node.lines == ("as it is",))
    assert [(pill.kind, pill.text) for pill in same.inputs] == [("argument", "x0  2×2")]
    assert [(pill.kind, pill.text) for pill in same.results] == [("output", "x0  2×2")]
    ElementTree.fromstring(svg(drawn))


def test_what_needs_only_constants_is_drawn_beside_its_reader():
    def function(x):
        fixed = ops.exp(x.new_full(2, 2, 1.0))
        for _ in range(4):
            x = ops.tanh(x)
        return x + fixed

    drawn = graph(trace_matrices(function, ShapeMatrix, (2, 2)))
    layer = {node.lines[0].split("(")[0]: node.layer for node in drawn.nodes}
    assert (layer["exp"], layer["add"]) == (3, 4)


# SVG


@pytest.mark.parametrize("fused", [False, True], ids=["raw", "fused"])
@pytest.mark.parametrize("layers", [1, 6])
def test_an_svg_shows_every_op_and_covers_none(layers, fused):
    program, names = program_of(layers, fused)
    text = svg(graph(program, names))
    root = ElementTree.fromstring(text)
    _, _, width, height = map(float, root.get("viewBox").split())
    shown = [each.text for each in root.iter(f"{SVG}text")]
    assert sum(line.startswith("matmul(") for line in shown) == 3 * layers
    assert sum(line.startswith("sgd_update(") for line in shown) == layers
    assert [line for line in shown if line.endswith("←")] == [f"{n}.weight ←" for n in reversed(range(layers))]
    tips = [each.text for each in root.iter(f"{SVG}title")]
    assert sum("FLOPs, " in tip for tip in tips) == len(list(program.instructions))
    rects = [
        tuple(float(each.get(key)) for key in ("x", "y", "width", "height"))
        for each in root.find(f"{SVG}g").iter(f"{SVG}rect")
        if each.get("class") == "op"
    ]
    corners = [(x, y, x + wide, y + high) for x, y, wide, high in rects]
    assert len(corners) == len(list(program.instructions))
    assert not any(overlap(a, b) for a, b in itertools.combinations(corners, 2))
    assert all(x >= 0 and y >= 0 and right <= width and bottom <= height for x, y, right, bottom in corners)
    assert sum(each.get("class") == "frame" for each in root.iter(f"{SVG}rect")) == fused


def test_an_svg_needs_nothing_from_elsewhere():
    text = svg(graph(*program_of(2, fused=True)))
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<use|url\(|@import|href", text)
    assert '<rect width="' in text
    assert "prefers-color-scheme: dark" in text


def test_drawings_are_the_same_each_time():
    first, second = (program_of(5, fused=True) for _ in range(2))
    assert svg(graph(*first)) == svg(graph(*second))
    assert dot(*first) == dot(*second)


NASTY = 'a<b>&"c"\\d\ne'


def test_names_are_escaped():
    program, _ = program_of(1, fused=False)
    names = {program.arguments[0]: NASTY}
    root = ElementTree.fromstring(svg(graph(program, names, NASTY)))
    assert any(each.text == f"{NASTY}  8×16" for each in root.iter(f"{SVG}text"))
    assert r'label="a<b>&\"c\"\\d\ne\n8×16"' in dot(program, names)
    assert quoted(NASTY) == r'"a<b>&\"c\"\\d\ne"'


# DOT

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|->|[{}\[\],=]|[\w.]+|\s+')


def tokens(text):
    """The tokens of a .dot file. Fails at anything that is none."""
    position, found = 0, []
    while position < len(text):
        match = TOKEN.match(text, position)
        assert match, text[position : position + 40]
        position = match.end()
        if not match[0].isspace():
            found.append(match[0])
    return found


@pytest.mark.parametrize("fused", [False, True], ids=["raw", "fused"])
def test_dot_has_a_node_for_each_op_and_clusters_for_regions(fused):
    program, names = program_of(3, fused)
    text = dot(program, names, "title")
    found = tokens(text)
    assert found[:3] == ["digraph", '"title"', "{"]
    depth = list(itertools.accumulate((token == "{") - (token == "}") for token in found))
    assert depth[-1] == 0
    assert min(depth[2:-1]) == 1
    made = set(re.findall(r"^ *(\w+) \[label", text, re.MULTILINE))
    edges = re.findall(r"^ *(\w+) -> (\w+)", text, re.MULTILINE)
    assert {end for edge in edges for end in edge} == made
    inputs = sum(len(step.inputs) for step in program.instructions)
    assert len(edges) == inputs + len(program.outputs) + len(program.updates)
    assert text.count("subgraph cluster_") == fused
    cluster = text[text.find("subgraph") : text.find("  }")] if fused else ""
    inside = len(re.findall(r"^ *v\d+ \[label", cluster, re.MULTILINE))
    assert inside == (len(program.body[0].body) if fused else 0)


def test_a_long_op_is_cut_in_its_box_and_whole_in_its_tooltip():
    program = trace_matrices(lambda a, b: a + b, ShapeMatrix, (2, 2), (2, 2))
    first, second = (letter * 40 for letter in "ab")
    node = graph(program, dict(zip(program.arguments, (first, second), strict=True))).nodes[0]
    assert node.lines == (f"add({first}, {second[:9]}…",)
    assert f"add({first}, {second})" in node.tip
