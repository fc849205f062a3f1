#!/usr/bin/env python3
"""Draws docs/images/overview.svg: how the parts fit together, and configs/digits.yaml trained on every backend.

    python docs/picture.py

The curves are those of runs made here and now, one for each usable backend: they start from the same bits, so they lie
on each other.
"""

from __future__ import annotations

import tempfile
from html import escape
from pathlib import Path

from pycrograd_core.config import load_config
from pycrograd_core.plugins import candidates
from pycrograd_core.training import TrainingRun, registries

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images" / "overview.svg"
COLOURS = ("#0f766e", "#d97706", "#6d28d9", "#be123c", "#1d4ed8")
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2933 } .small { font-size: 12px; fill: #52606d }
  .title { font-weight: 600 } .mono { font: 13px ui-monospace, monospace } .sheet { fill: #ffffff }
  .box { fill: #f5f7fa; stroke: #9aa5b1 } .core { fill: #e3f2f0; stroke: #0f766e }
  .grid { stroke: #e4e7eb } .axis, .arrow { stroke: #7b8794; fill: none } .head { fill: #7b8794 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb } .small { fill: #9aa5b1 } .sheet { fill: #0d1117 } .box { fill: #1f2933; stroke: #616e7c }
    .core { fill: #12312e; stroke: #2bb3a3 } .grid { stroke: #323f4b } .axis, .arrow { stroke: #9aa5b1 } }
"""


def curves() -> dict[str, list[float]]:
    """Validation accuracy by epoch for each usable backend."""
    found = {}
    for candidate in candidates().values():
        if candidate.probe().devices:
            config = load_config(ROOT / "configs" / "digits.yaml", registries(), [f"backend={candidate.name}"])
            with tempfile.TemporaryDirectory() as folder:
                run = TrainingRun(config, out=Path(folder) / "run")
                run.execute()
                found[candidate.name] = [r["validation"]["accuracy"] for r in run.trainer.history]
    return found


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "middle") -> str:
    """A line of text."""
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def box(x: float, y: float, width: float, height: float, lines: list[tuple[str, str]], kind: str = "box") -> str:
    """A rounded box with centred lines of text."""
    top = y + height / 2 - 9 * (len(lines) - 1) + 5
    body = "".join(text(x + width / 2, top + 18 * i, line, style) for i, (line, style) in enumerate(lines))
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" class="{kind}"/>{body}'


def arrow(x: float, y: float, x2: float, y2: float) -> str:
    """A straight arrow."""
    return f'<line x1="{x}" y1="{y}" x2="{x2}" y2="{y2}" class="arrow" marker-end="url(#head)"/>'


def structure(names: list[str]) -> str:
    """The left half: a configuration, the core, the backends."""
    core = [
        ("pycrograd_core", "title"),
        ("op table · gradient rules · engine", ""),
        ("modules · optimisers · training", ""),
    ]
    parts = [
        box(130, 20, 180, 44, [("configs/digits.yaml", "mono")]),
        arrow(220, 64, 220, 86),
        box(40, 90, 360, 96, core, "core"),
        text(220, 210, "the contract: one Matrix class, 27 kernels", "small"),
    ]
    shown = [*names, "yours"]
    width = (360 - 12 * (len(shown) - 1)) / len(shown)
    for i, name in enumerate(shown):
        x = 40 + i * (width + 12)
        parts += [arrow(x + width / 2, 220, x + width / 2, 238), box(x, 242, width, 44, [(name, "mono")])]
    return "".join(parts)


def chart(found: dict[str, list[float]]) -> str:
    """The right half: accuracy by epoch. Earlier curves are drawn broader, so that all can be seen."""
    left, right, top, bottom, low = 480, 800, 48, 250, 0.8
    epochs = max(map(len, found.values()))
    x = [left + (right - left) * i / max(1, epochs - 1) for i in range(epochs)]

    def y(accuracy: float) -> float:
        return bottom - (bottom - top) * (max(accuracy, low) - low) / (1 - low)

    parts = [text(640, 30, "validation accuracy on digits, by epoch", "title")]
    for percent in (80, 85, 90, 95, 100):
        level = y(percent / 100)
        parts.append(f'<line x1="{left}" y1="{level}" x2="{right}" y2="{level}" class="grid"/>')
        parts.append(text(left - 8, level + 4, f"{percent} %", "small", "end"))
    parts += [text(x[i], bottom + 20, str(i + 1), "small") for i in range(0, epochs, 2)]
    for i, (name, accuracies) in enumerate(found.items()):
        points = " ".join(f"{px:.1f},{y(a):.1f}" for px, a in zip(x, accuracies, strict=True))
        width, colour = 2 + 5 * (len(found) - 1 - i), COLOURS[i % len(COLOURS)]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}" opacity="0.85"/>'
        )
        key = left + 145 * i
        parts.append(f'<line x1="{key}" y1="285" x2="{key + 24}" y2="285" stroke="{colour}" stroke-width="{width}"/>')
        parts.append(text(key + 32, 289, f"{name} {accuracies[-1]:.1%}", "small", "start"))
    return "".join(parts)


def main() -> None:
    """Train, and draw."""
    found = curves()
    ends = ", ".join(f"{name} ends at {accuracies[-1]:.1%}" for name, accuracies in found.items())
    TARGET.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 306" role="img" aria-labelledby="t">'
        f'<title id="t">A configuration runs on the core, the core on any backend. Validation accuracy: {ends}.</title>'
        f"<style>{STYLE}</style>"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" class="head"/></marker></defs>'
        f'<rect width="840" height="306" class="sheet"/>{structure(list(found))}{chart(found)}</svg>\n',
        "utf-8",
    )


if __name__ == "__main__":
    main()
