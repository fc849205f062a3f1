"""A graph as SVG: one file that needs no font, script or program, for light and dark screens."""

from __future__ import annotations

from html import escape

from .draw import Graph, Node
from .layout import Layout, Spot, arrange

LETTER = 7.25  # the width of a character in the drawing's font
LINE, CHIP, HEAD, PAD = 16.0, 22.0, 18.0, 8.0  # heights: of a note, an op in a region, a region's kind; what is around
TOP, SIDE, KEY = 84.0, 28.0, 17.0  # what is above and beside the drawing; the width of a key's sample
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
OTHER = ("#f5f7fa", "#9aa5b1", "#1f2933", "#616e7c")
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
    drawing += [_box(node, spot) for node, spot in zip(graph.nodes, layout.spots, strict=True)]
    left = (width - layout.width) / 2
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="t">',
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
    parts, x = [], SIDE
    for kind, (says, *_) in KINDS.items():
        if kind in found:
            parts.append(f'<rect x="{x:.1f}" y="63" width="{KEY}" height="11" rx="4" class="{kind}"/>')
            parts.append(_text(x + KEY + 6, 73, says, "small", "start"))
            x += KEY + 6 + 6.8 * len(says) + 16
    return parts, x - SIDE


def _colours(kind: str) -> str:
    """The class that colours a kind: an updated state looks as a state does, an unknown kind of region as an op."""
    return "state" if kind == "updated" else kind if kind in KINDS else "op"


def _size(node: Node) -> tuple[float, float]:
    """What a node needs."""
    longest = max(map(len, (*node.lines, *node.note)))
    if _pill(node):
        return longest * LETTER + (30 if node.kind in ("argument", "output", "feed") else 22), 26.0
    notes = LINE * len(node.note)
    if _region(node):
        return longest * LETTER + 4 * PAD, HEAD + CHIP * len(node.lines) + notes + 1.5 * PAD
    return longest * LETTER + 2.5 * PAD, LINE * len(node.lines) + notes + 1.5 * PAD


def _pill(node: Node) -> bool:
    return not node.note


def _region(node: Node) -> bool:
    return node.kind != "op" and not _pill(node)


def _text(x: float, y: float, content: str, kind: str = "", anchor: str = "middle") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} text-anchor="{anchor}">{escape(content)}</text>'


def _box(node: Node, spot: Spot) -> str:
    """A node with its words, and what is known of it as a tooltip."""
    left, top = spot.x - spot.width / 2, spot.y - spot.height / 2
    parts = [f"<g><title>{escape(node.tip)}</title>", _outline(node, left, top, spot)]
    if _pill(node):
        parts.append(_text(spot.x, spot.y + 4, node.lines[0]))
    else:
        y = top + PAD / 2
        if _region(node):
            parts.append(_text(left + PAD, y + 12, KINDS[node.kind][0] if node.kind in KINDS else node.kind, "kind", "start"))
            y += HEAD
        for line in node.lines:
            if _region(node):
                wide = spot.width - 2 * PAD
                parts.append(
                    f'<rect x="{left + PAD:.1f}" y="{y + 1:.1f}" width="{wide:.1f}" height="{CHIP - 3}" rx="4" class="chip"/>'
                )
                parts.append(_text(left + 2 * PAD, y + 15, line, "", "start"))
                y += CHIP
            else:
                parts.append(_text(spot.x, y + 13, line))
                y += LINE
        for line in node.note:
            parts.append(_text(spot.x if not _region(node) else left + 2 * PAD, y + 13, line, "note", "middle" if not _region(node) else "start"))
            y += LINE
    return "".join([*parts, "</g>"])


def _outline(node: Node, left: float, top: float, spot: Spot) -> str:
    """The shape of a kind: a drum is a state, a slanted box is drawn anew, a round end goes in or out."""
    kind, wide, high = _colours(node.kind), spot.width, spot.height
    if kind == "state" and _pill(node):
        lip, bottom = 3.5, top + high
        right = left + wide
        return (
            f'<path d="M{left:.1f},{top + lip:.1f} a{wide / 2:.1f},{lip} 0 0 1 {wide:.1f},0 V{bottom - lip:.1f} '
            f'a{wide / 2:.1f},{lip} 0 0 1 {-wide:.1f},0 z M{left:.1f},{top + lip:.1f} a{wide / 2:.1f},{lip} 0 0 0 '
            f'{right - left:.1f},0" class="{kind}"/>'
        )
    if kind == "feed":
        slant = 8
        points = ((left + slant, top), (left + wide, top), (left + wide - slant, top + high), (left, top + high))
        return f'<polygon points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="{kind}"/>'
    corner = high / 2 if kind in ("argument", "output") else 4 if kind == "constant" else 8
    heavy = ' stroke-width="2"' if kind == "output" else ""
    place = f'x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{high:.1f}"'
    return f'<rect {place} rx="{corner:.1f}" class="{kind}"{heavy}/>'


def _frames(graph: Graph, layout: Layout) -> list[str]:
    parts = []
    for frame, (x, y, wide, high) in zip(graph.frames, layout.frames, strict=True):
        parts.append(
            f'<g><title>{escape(frame.tip)}</title><rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" '
            f'height="{high:.1f}" rx="14" class="frame"/></g>'
        )
        parts.append(_text(x + 12, y + 15, frame.kind, "kind", "start"))
    return parts


def _wires(graph: Graph, layout: Layout) -> list[str]:
    """Curves between the layers and straight lines past them, with heads where they end in a node."""
    parts = []
    for wire, arcs in zip(graph.wires, layout.wires, strict=True):
        lines, heads = [], []
        for points in arcs:
            (x, start), (_, leave), (end, arrive), (_, touch), *rest = points
            middle = (leave + arrive) / 2
            lines.append(f"M{x:.1f},{start:.1f}")
            if x == end:
                lines.append(f"V{rest[0][1] if rest else touch:.1f}")
            else:
                curve = f"C{x:.1f},{middle:.1f} {end:.1f},{middle:.1f} {end:.1f},{arrive:.1f}"
                lines.append(f"V{leave:.1f}{curve}V{rest[0][1] if rest else touch:.1f}")
            if not rest:
                heads.append(f'<polygon points="{end:.1f},{touch:.1f} {end - 3.5:.1f},{touch - 7:.1f} {end + 3.5:.1f},{touch - 7:.1f}"/>')
        kind = "wire writes" if wire.update else "wire"
        parts.append(f'<g class="{kind}"><title>{escape(wire.tip)}</title><path d="{"".join(lines)}"/>{"".join(heads)}</g>')
    return parts
