#!/usr/bin/env python3
"""Writes docs/reference.md from the code: what a configuration can name, and the op table.

python docs/generate.py           write it
python docs/generate.py --check   exit 1 if it is not up to date
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

from pycrograd_core import ops
from pycrograd_core.matrix import Matrix
from pycrograd_core.registry import Registry
from pycrograd_core.training import registries

TARGET = Path(__file__).with_name("reference.md")
HEADINGS = {
    "datasets": "Data sets (`data: {dataset: …}`)",
    "layers": "Layers (`model:`)",
    "models": "Models (`model: {name: …}`)",
    "losses": "Losses (`loss:`)",
    "optimisers": "Optimisers (`optimiser:`)",
    "schedules": "Schedules (`schedule:`)",
}


def reference() -> str:
    """The page."""
    parts = [
        "# Reference",
        "Generated from the code by `python docs/generate.py`; a test fails when it is not up to date.",
        "## What a configuration can name",
        "Options are the keyword parameters of the function or class behind a name. `- linear: 64` gives the first.",
    ]
    for kind, registry in vars(registries()).items():
        parts += [f"### {HEADINGS[kind]}", options(registry)]
    parts += [
        "## Ops",
        "Backends must have the *kernels*. The others decompose into these, and may be overridden.",
        op_table(),
    ]
    return "\n\n".join(parts) + "\n"


def options(registry: Registry) -> str:
    """A table of names, what they are, and their options with defaults."""
    rows = ["| name | options | |", "|---|---|---|"]
    for name in registry:
        found = ", ".join(f"`{option(parameter)}`" for parameter in registry.options(name).values())
        rows.append(f"| `{name}` | {found or '–'} | {first_sentence(registry[name])} |")
    return "\n".join(rows)


def option(parameter: inspect.Parameter) -> str:
    """A parameter as it would be written in a configuration."""
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}: {yaml_value(parameter.default)}"


def yaml_value(value: Any) -> str:
    """A default as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def first_sentence(factory: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(factory) or "").splitlines()[0].replace("|", "\\|")


def op_table() -> str:
    """A row for each op."""
    rows = ["| op | | kind | gradient |", "|---|---|---|---|"]
    for name, op in sorted(ops.TABLE.items()):
        kind = "kernel" if name in Matrix.__abstractmethods__ else "derived"
        gradient = "–" if not op.differentiable else "by its decomposition" if op.gradients is None else "own rule"
        rows.append(f"| `{name}` | {op.summary.replace('|', chr(92) + '|')} | {kind} | {gradient} |")
    return "\n".join(rows)


def main() -> None:
    """Write or check."""
    if "--check" in sys.argv[1:]:
        sys.exit(0 if TARGET.read_text("utf-8") == reference() else f"{TARGET} is not up to date: run docs/generate.py")
    TARGET.write_text(reference(), "utf-8")


if __name__ == "__main__":
    main()
