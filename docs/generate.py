#!/usr/bin/env python3
"""Writes docs/reference.md, docs/contract.md and docs/faults.md from the code.

The first is what a configuration can name, and the op table; the second what a backend must do and may do; the third
what is wrong with backends that the kit finds.

python docs/generate.py           write them
python docs/generate.py --check   exit 1 if one is not up to date
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pycrograd_core import CONTRACT, ops
from pycrograd_core import matrix as contract_module
from pycrograd_core.conformance.tiers import TIERS
from pycrograd_core.matrix import CAPABILITIES, Matrix
from pycrograd_core.op import Op
from pycrograd_core.plugins import BackendSpec
from pycrograd_core.registry import Registry
from pycrograd_core.training import registries

FOLDER = Path(__file__).parent
HEADINGS = {
    "datasets": "Data sets (`data: {dataset: …}`)",
    "layers": "Layers (`model:`)",
    "models": "Models (`model: {name: …}`)",
    "losses": "Losses (`loss:`)",
    "optimisers": "Optimisers (`optimiser:`)",
    "schedules": "Schedules (`schedule:`)",
    "callbacks": "Callbacks (`callbacks:`)",
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
    if not registry:
        return "The core has none: [plugins](plugins.md) bring them."
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
        rows.append(f"| `{call(op)}` | {cell(op.summary)} | {kind} | {gradient} |")
    return "\n".join(rows)


def call(op: Op) -> str:
    """An op as one would call it: operands by position, parameters by name."""
    source = getattr(Matrix, op.name, None) or op.decomposition
    parameters = list(inspect.signature(source).parameters.values())
    count = len(op.samples[0].inputs)
    named = {name for sample in op.samples for name in sample.params}
    shown = (
        [each.name for each in parameters if each.name not in {*named, "out"}][:count]
        if not op.variadic
        else ["a", "b", "…"]
    )
    optional = [
        each for each in parameters if each.name in named or (each.default is not each.empty and each.name != "out")
    ]
    return f"{op.name}({', '.join([*('x' if n == 'self' else n for n in shown), *map(keyword, optional)])})"


def keyword(parameter: inspect.Parameter) -> str:
    """A parameter with its default."""
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


def cell(text: str) -> str:
    """Text that can stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")


# The contract -------------------------------------------------------------------------------------------------------


def contract() -> str:
    """The page."""
    version = ".".join(map(str, CONTRACT))
    derived = [op for op in ops.TABLE.values() if op.decomposition is not None]
    parts = [
        f"# The backend contract, version {version}",
        "Generated from the code by `python docs/generate.py`; a test fails when it is not up to date.",
        "[Write a backend](write-a-backend.md) is the way into it, [the kit](conformance.md) holds backends to it.",
        "[Versions](versioning.md) say what may change.",
        *paragraphs(contract_module.__doc__ or ""),
        "## Kernels",
        *paragraphs(Matrix.__doc__ or ""),
        "`a`, `b` and `self` are matrices of the backend's own class. What is marked *optional* has a default.",
        *kernel_tables(),
        "## Derived ops",
        f"The core has a decomposition of each of these {len(derived)}. A method of the op's name overrides it.",
        "The kit proves that both are equal.",
        "\n".join(["| method | |", "|---|---|", *(f"| `{call(op)}` | {cell(op.summary)} |" for op in derived)]),
        "## Capabilities",
        "A backend declares them in `capabilities`, a frozenset. Code asks for them, never for a backend's name.",
        "\n".join(["| | |", "|---|---|", *(f"| `{name}` | {cell(what)} |" for name, what in CAPABILITIES.items())]),
        "## `BackendSpec`",
        *paragraphs(BackendSpec.__doc__ or ""),
        "\n".join(
            [
                "| field | type |",
                "|---|---|",
                *(f"| `{each.name}` | `{cell(str(each.type))}` |" for each in fields(BackendSpec)),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def paragraphs(docstring: str) -> list[str]:
    """A docstring's paragraphs after its first line, each on one line, as is each item of a list."""
    return [re.sub(r"\n *(?!- )", " ", part) for part in inspect.cleandoc(docstring).split("\n\n")[1:]]


def kernel_tables() -> Iterator[str]:
    """The methods of the class under the headings that its source gives them."""
    source = inspect.getsource(Matrix)
    lines, groups = source.splitlines(), []
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        heading = next(
            (line for line in reversed(lines[: node.lineno]) if line.startswith("    # ") and "----" in line), ""
        )
        title = heading.strip(" #-")
        if title.startswith("Semantics"):
            break
        if title:
            groups.append((title, node))
    for title in dict.fromkeys(title for title, _ in groups):
        yield f"### {title}"
        yield "\n".join(["| | |", "|---|---|", *(row(node) for each, node in groups if each == title)])


def row(node: ast.FunctionDef) -> str:
    """A method: how it is called, and what it does."""
    decorators = {ast.unparse(each) for each in node.decorator_list}
    for each in (*node.args.args, *node.args.kwonlyargs):
        each.annotation = None
    if node.args.vararg:
        node.args.vararg.annotation = None
    signature = ast.unparse(node.args).replace("cls, ", "").replace("cls", "")
    kind = [
        *(["classmethod"] if "classmethod" in decorators else []),
        *([] if "abstractmethod" in decorators else ["optional"]),
    ]
    note = f" *{', '.join(kind)}*" if kind else ""
    return f"| `{node.name}({signature})`{note} | {cell(ast.get_docstring(node) or '')} |"


# The faults that the kit finds ---------------------------------------------------------------------------------------


def faults() -> str:
    """The page."""
    sys.path.insert(0, str(FOLDER.parent / "tests"))
    from conformance.mutants import ENDING, MUTANTS

    every = [*MUTANTS, *ENDING]
    parts = [
        "# What the kit finds",
        "Generated from `tests/conformance` by `python docs/generate.py`; a test fails when it is not up to date.",
        f"Each of these {len(every)} backends is [a right one](../tests/conformance/honest.py) but for one line.",
        "The check is the first of [the kit](conformance.md) to find it: all before it pass. The tests prove both.",
    ]
    for tier in TIERS:
        found = [mutant for mutant in every if mutant.tier == tier.name]
        if found:
            rows = [f"| {cell(mutant.name)} | `{mutant.check.partition('/')[2]}` |" for mutant in found]
            parts += [f"## `{tier.name}`", tier.summary, "\n".join(["| fault | check |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


PAGES = {"reference.md": reference, "contract.md": contract, "faults.md": faults}


def main() -> None:
    """Write or check."""
    for name, page in PAGES.items():
        target, text = FOLDER / name, page()
        if "--check" not in sys.argv[1:]:
            target.write_text(text, "utf-8")
        elif not target.exists() or target.read_text("utf-8") != text:
            sys.exit(f"{target} is not up to date: run docs/generate.py")


if __name__ == "__main__":
    main()
