"""A graph as SVG: one file that needs no font, script or program, for light and dark screens."""

from __future__ import annotations

from html import escape

from .graph import Graph, Node, Pill
from .layout import Layout, Size, Spot, arrange

LETTER = 7.25  # the width of a character in the drawing's font
LINE, CHIP, HEAD, PAD = 16.0, 22.0, 18.0, 8.0  # heights: of a note, an op in a region, a region's kind; what is around
PILL, BETWEEN, REACH = 24.0, 6.0, 22.0  # the height of a pill, what is between two, and the arrow to the box
TOP, SIDE, KEY = 92.0, 28.0, 17.0  # what is above and beside the drawing; the width of a key's sample
KINDS = {  # what a key says: a colour of the fill and one of the line, for light screens and for dark ones
    "argument": ("argument", "#e0edff", "#1d4ed8", "#172a4a", "#7aa5f8"),
    "state": ("state", "#fdf0d5", "#b45309", "#3a2a10", "#e8a33d"),
    "feed": ("drawn anew", "#efe7fd", "#6d28d9", "#2b1d45", "#a78bfa"),
    "constant": ("constant", "#eef0f3", "#7b8794", "#262d36", "#7b8794"),
    "output": ("output", "#dcf5e3", "#15803d", "#12301d", "#4cc27a"),
    "op": ("op", "#f5f7fa", "#9aa5b1", "#1f2933", "#616e7c"),
    "product": ("product", "#e3f2f0", "#0f766e", "#12312e", "#2bb3a3"),
    "elementwise": ("elementwise", "#eef2fb", "#4f6bb0", "#1c2740", "#8ba3e0"),
    "cross_entropy": ("cross-entropy", "#fbe8ef", "#be123c", "#3c1622", "#f0718f"),
    "update": ("update", "#fdf0d5", "#b45309", "#33270f", "#e8a33d"),
}
STYLE = """
  text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2933; white-space: pre }
  .title { font: 600 18px system-ui, sans-serif } .small { font: 12px system-ui, sans-serif; fill: #52606d }
  .kind { font: 600 11px system-ui, sans-serif; fill: #52606d } .note { fill: #52606d }
  .sheet { fill: #ffffff } .chip { fill: #ffffff; fill-opacity: .75 }
  .frame { fill: #0f766e; fill-opacity: .05; stroke: #0f766e; stroke-dasharray: 6 4 }
  .wire path { fill: none; stroke: #7b8794 } .wire polygon { fill: #7b8794 }
  .wire:hover path { stroke: #be123c; stroke-width: 2.5 } .wire:hover polygon { fill: #be123c }
  .writes path { stroke: #b45309; stroke-width: 1.5 } .writes polygon { fill: #b45309 }
"""
DARK = """
  text { fill: #e4e7eb } .small, .kind, .note { fill: #9aa5b1 } .sheet { fill: #0d1117 }
  .chip { fill: #0d1117; fill-opacity: .45 } .frame { fill: #2bb3a3; stroke: #2bb3a3 }
  .wire path { stroke: #9aa5b1; stroke-opacity: .8 } .wire polygon { fill: #9aa5b1 }
  .wire:hover path { stroke: #f0718f } .wire:hover polygon { fill: #f0718f }
  .writes path { stroke: #e8a33d } .writes polygon { fill: #e8a33d }
"""


def svg(graph: Graph) -> str:
    """The drawing."""
    layout = arrange(
        [_size(node) for node in graph.nodes],
        [node.layer for node in graph.nodes],
        [(wire.source, wire.targets) for wire in graph.wires],
        [frame.members for frame in graph.frames],
    )
    keys, across = _keys(graph)
    width = round(max(layout.width, across, len(graph.subtitle) * 6.4, 360) + 2 * SIDE)
    height = round(layout.height + TOP + SIDE)
    drawing = _frames(graph, layout) + _wires(graph, layout)
    drawing += [_node(node, spot) for node, spot in zip(graph.nodes, layout.spots, strict=True)]
    left = (width - layout.width) / 2
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-labelledby="t">',
        f'<title id="t">{escape(graph.title)}: {escape(graph.subtitle)}</title>',
        f"<style>{_style()}</style>",
        f'<rect width="{width}" height="{height}" class="sheet"/>',
        _text(SIDE, 34, graph.title, "title", "start"),
        _text(SIDE, 53, graph.subtitle, "small", "start"),
        *keys,
        f'<g transform="translate({left:.1f} {TOP:.1f})">',
        *drawing,
        "</g>",
        "</svg>",
        "",
    ])  # fmt: skip


def _style() -> str:
    light = [f"  .{kind} {{ fill: {fill}; stroke: {line} }}" for kind, (_, fill, line, _, _) in KINDS.items()]
    dark = [f"  .{kind} {{ fill: {fill}; stroke: {line} }}" for kind, (_, _, _, fill, line) in KINDS.items()]
    inner = "\n".join(dark)
    return STYLE + "\n".join(light) + "\n@media (prefers-color-scheme: dark) {" + DARK + inner + "\n}\n"


def _keys(graph: Graph) -> tuple[list[str], float]:
    """What the colours of this drawing mean, and how wide the row is."""
    found = {_colours(node.kind) for node in graph.nodes}
    found |= {_colours(pill.kind) for node in graph.nodes for pill in (*node.inputs, *node.results)}
    parts, x = [], SIDE
    for kind, (says, *_) in KINDS.items():
        if kind in found:
            parts.append(f'<rect x="{x:.1f}" y="63" width="{KEY}" height="11" rx="4" class="{kind}"/>')
            parts.append(_text(x + KEY + 6, 73, says, "small", "start"))
            x += KEY + 6 + 6.8 * len(says) + 16
    return parts, x - SIDE


def _says(kind: str) -> str:
    return KINDS[kind][0] if kind in KINDS else kind


def _colours(kind: str) -> str:
    """The class that colours a kind: an updated state looks as a state does, an unknown kind of region as an op."""
    return "state" if kind == "updated" else kind if kind in KINDS else "op"


def _size(node: Node) -> Size:
    """What a node needs to the left and to the right of its middle, in height, and the height of its box."""
    wide, high = _box_size(node)
    sides = [max((_wide(pill) for pill in pills), default=-REACH) + REACH for pills in (node.inputs, node.results)]
    most = max(len(node.inputs), len(node.results))
    return wide / 2 + sides[0], wide / 2 + sides[1], max(high, most * (PILL + BETWEEN) - BETWEEN), high


def _box_size(node: Node) -> tuple[float, float]:
    longest = max(map(len, (*node.lines, *node.note)))
    notes = LINE * len(node.note) + 1.5 * PAD
    if node.kind == "op":
        return longest * LETTER + 2.5 * PAD, LINE * len(node.lines) + notes
    return longest * LETTER + 4 * PAD, HEAD + CHIP * len(node.lines) + notes


def _wide(pill: Pill) -> float:
    return len(pill.text) * LETTER + 22


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "middle") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} text-anchor="{anchor}">{escape(content)}</text>'


def _rect(x: float, y: float, wide: float, high: float, corner: float, kind: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" rx="{corner:.1f}" class="{kind}"/>'


def _titled(tip: str, parts: list[str], kind: str = "") -> str:
    """A group with a tooltip."""
    named = f' class="{kind}"' if kind else ""
    return f"<g{named}><title>{escape(tip)}</title>{''.join(parts)}</g>"


def _node(node: Node, spot: Spot) -> str:
    """A kernel, with its pills to the left and right."""
    wide, high = _box_size(node)
    left, right, top = spot.x - wide / 2, spot.x + wide / 2, spot.y - high / 2
    parts = [_titled(node.tip, [_rect(left, top, wide, high, 8, _colours(node.kind)), *_words(node, left, top, wide)])]
    for pills, inward in ((node.inputs, True), (node.results, False)):
        y = spot.y - (len(pills) * (PILL + BETWEEN) - BETWEEN) / 2 + PILL / 2
        for pill in pills:
            x = left - REACH - _wide(pill) if inward else right + REACH
            start, end = (left - REACH, left) if inward else (right, right + REACH)
            level = min(max(y, top + 8), top + high - 8)  # where the arrow meets the box
            begin, finish = (y, level) if inward else (level, y)
            arrow = [
                f'<path d="M{start:.1f},{begin:.1f} L{end - 6:.1f},{finish:.1f} h6"/>',
                _head(end, finish, "right"),
            ]
            parts.append(_titled(pill.tip, arrow, "wire writes" if pill.kind == "updated" else "wire"))
            text = _text(x + _wide(pill) / 2, y + (5.5 if _colours(pill.kind) == "state" else 4), pill.text)
            parts.append(_titled(pill.tip, [_outline(pill, x, y - PILL / 2), text]))
            y += PILL + BETWEEN
    return "\n".join(parts)


def _words(node: Node, left: float, top: float, wide: float) -> list[str]:
    """What is written in a box: in that of a region, its kind and a chip for each op."""
    parts, y = [], top + PAD / 2
    if node.kind == "op":
        for line in node.lines:
            parts.append(_text(left + wide / 2, y + 13, line))
            y += LINE
        for line in node.note:
            parts.append(_text(left + wide / 2, y + 13, line, "note"))
            y += LINE
        return parts
    parts.append(_text(left + PAD, y + 12, _says(node.kind), "kind", "start"))
    y += HEAD
    for line in node.lines:
        parts.append(_rect(left + PAD, y + 1, wide - 2 * PAD, CHIP - 3, 4, "chip"))
        parts.append(_text(left + 2 * PAD, y + 15, line, "", "start"))
        y += CHIP
    for line in node.note:
        parts.append(_text(left + 2 * PAD, y + 13, line, "note", "start"))
        y += LINE
    return parts


def _outline(pill: Pill, x: float, y: float) -> str:
    """The shape of a kind: a drum is a state, a slanted box is drawn anew, a round end goes in or comes out."""
    kind, wide = _colours(pill.kind), _wide(pill)
    if kind == "state":
        lip, half = 3.5, wide / 2
        return (
            f'<path d="M{x:.1f},{y + lip:.1f} a{half:.1f},{lip} 0 0 1 {wide:.1f},0 v{PILL - 2 * lip:.1f} '
            f'a{half:.1f},{lip} 0 0 1 {-wide:.1f},0 z m0,0 a{half:.1f},{lip} 0 0 0 {wide:.1f},0" class="{kind}"/>'
        )
    if kind == "feed":
        corners = ((x + 8, y), (x + wide, y), (x + wide - 8, y + PILL), (x, y + PILL))
        return f'<polygon points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in corners)}" class="{kind}"/>'
    return _rect(x, y, wide, PILL, 4 if kind == "constant" else PILL / 2, kind)


def _head(x: float, y: float, way: str) -> str:
    """The head of an arrow, its tip at a point."""
    corners = {"down": ((-3.5, -7), (3.5, -7)), "right": ((-7, -3.5), (-7, 3.5))}[way]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in ((0, 0), *corners))
    return f'<polygon points="{points}"/>'


def _frames(graph: Graph, layout: Layout) -> list[str]:
    parts = []
    for frame, (x, y, wide, high) in zip(graph.frames, layout.frames, strict=True):
        parts.append(_titled(frame.tip, [_rect(x, y, wide, high, 14, "frame")]))
        parts.append(_text(x + 12, y + 15, frame.kind, "kind", "start"))
    return parts


def _wires(graph: Graph, layout: Layout) -> list[str]:
    """Curves between the layers and straight lines past them, with heads where they end in a node."""
    parts = []
    for wire, arcs in zip(graph.wires, layout.wires, strict=True):
        lines, heads = [], []
        for (x, start), (_, leave), (end, arrive), (_, touch), *rest in arcs:
            middle = (leave + arrive) / 2
            curve = f"V{leave:.1f}C{x:.1f},{middle:.1f} {end:.1f},{middle:.1f} {end:.1f},{arrive:.1f}"
            lines.append(f"M{x:.1f},{start:.1f}{curve if x != end else ''}V{rest[0][1] if rest else touch:.1f}")
            if not rest:
                heads.append(_head(end, touch, "down"))
        parts.append(_titled(wire.tip, [f'<path d="{"".join(lines)}"/>', *heads], "wire"))
    return parts
