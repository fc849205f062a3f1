"""`pycrograd inspect`: what a configuration builds, without training it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .run import Backend, ConfigPath, Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.table import Table

SHOWN = 36  # kernels, if not all are asked for
SAVINGS = {  # what the passes change, and where the report has it
    "kernels launched": ("kernels",),
    "FLOPs": ("flops",),
    "read and written": ("bytes",),
    "results, each in memory of its own": ("memory", "unplanned"),
    "results, in planned memory": ("memory", "planned"),
}


class When(StrEnum):
    """Which of the two programs to list."""

    before = "before"
    after = "after"


def inspect(
    config: ConfigPath,
    backend: Backend = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value.")] = None,
    program: Annotated[
        When | None, typer.Option("--program", help="List all kernels before or after the passes, and nothing else.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show layers, shapes, parameters, FLOPs and bytes of a training step, and what the passes make of it.

    Trains nothing, and draws no weights.
    """
    import json

    from pycrograd_core.training.inspection import inspect_model

    from .run import given, load

    report = inspect_model(load(config, [*(settings or []), *given({"--backend": ("backend", backend)})]))
    if as_json:
        typer.echo(json.dumps(report))
        return
    from rich.console import Console

    console = Console()
    if program is None:
        _show(report, console)
    else:
        console.print(f"{_title(report)}, {program.value} the passes", highlight=False)
        console.print(_steps(report["program"][program.value]["steps"], everything=True))


def _title(report: dict[str, Any]) -> str:
    return f"{report['name']}: a batch of {report['batch_size']}, {report['dtype']}, on {report['backend']}"


def _show(report: dict[str, Any], console: Console) -> None:
    """Layers, what the passes saved, and the step as it is run."""
    console.print(_layers(report))
    console.print()
    console.print(_savings(report["program"]))
    console.print()
    console.print(_steps(report["program"]["after"]["steps"], everything=False))
    notes = {
        "·": "the result just before it",
        "′": "what is held after the step",
        "┊": "may run as one, over blocks of rows",
    }
    console.print("; ".join(f"{sign} {meaning}" for sign, meaning in notes.items()), highlight=False, style="dim")


def _table(*headings: str, title: str = "") -> Table:
    """A table without lines, of which all but the first column are figures."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=title or None, title_justify="left")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if position else "left", no_wrap=not position)
    return table


def _layers(report: dict[str, Any]) -> Table:
    headings = ("layer", "output", "parameters", "forward FLOPs", "weights", "activations")
    table = _table(*headings, title=_title(report))
    for block in _blocks([(layer["name"], *layer["output"]) for layer in report["layers"]]):
        for layer in report["layers"][block.start : block.start + block.length]:
            table.add_row(layer["name"], "×".join(map(str, layer["output"])), *_figures(layer))
        if block.times > 1:
            table.add_row(f"… {block.times - 1} times more")
    table.add_section()
    table.add_row("all", "", *_figures(report["total"]))
    return table


def _figures(row: dict[str, Any]) -> list[str]:
    from pycrograd_core.capture.cost import size

    counts = [f"{row['parameters']:,}", f"{row['flops']:,}"]
    return [*counts, size(row["parameter_bytes"]), size(row["activation_bytes"])]


def _savings(programs: dict[str, Any]) -> Table:
    from pycrograd_core.capture.cost import size

    table = _table("a training step", "as written", "after the passes", "saved")
    for says, path in SAVINGS.items():
        found = []
        for when in ("before", "after"):
            figure = programs[when]
            for key in path:
                figure = figure[key]
            found.append(figure)
        before, after = found
        shown = size if path[0] in ("bytes", "memory") else "{:,}".format
        table.add_row(says, shown(before), shown(after), f"{1 - after / before:.0%}" if after < before else "–")
    return table


def _steps(steps: list[dict[str, Any]], everything: bool) -> Table:
    """The kernels, in order. Those that come again and again are shown once, unless everything is asked for."""
    from rich.table import Table

    from pycrograd_core.capture.cost import size

    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True, justify="right")
    table.add_column("result", no_wrap=True)
    table.add_column("kernel", overflow="fold", ratio=1)
    table.add_column("FLOPs", no_wrap=True, justify="right")
    table.add_column("bytes", no_wrap=True, justify="right")
    launched = list(_launched(steps))
    keys = [
        (mark, step["kind"], *step["ops"], *[tuple(out["shape"]) for out in step["outputs"]]) for mark, step in launched
    ]
    shown = 0
    for block in _blocks(keys) if not everything else _blocks(range(len(keys))):
        if shown >= SHOWN and not everything:
            table.add_row("", "", f"… {len(keys) - block.start} kernels more: --program after lists all")
            break
        for number in range(block.start, block.start + block.length):
            mark, step = launched[number]
            results = "\n".join(f"{out['name']} {'×'.join(map(str, out['shape']))}" for out in step["outputs"])
            lines = step["computes"].replace("; ", "\n")
            table.add_row(f"{mark}{number + 1}", results, lines, _count(step["flops"]), size(step["bytes"]))
            shown += 1
        if block.times > 1:
            last = block.start + block.length * block.times
            rest = [step for _, step in launched[block.start + block.length : last]]
            these = "this one" if block.length == 1 else f"these {block.length}"
            flops, moved = sum(step["flops"] for step in rest), sum(step["bytes"] for step in rest)
            table.add_row(
                f"{mark}…{last}", "", f"⋮ like {these}, {block.times - 1} times more", _count(flops), size(moved)
            )
    return table


def _launched(steps: list[dict[str, Any]], mark: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The kernels with a mark: those inside a row-local region have one."""
    for step in steps:
        if "steps" in step:
            yield from _launched(step["steps"], "┊ ")
        else:
            yield mark, step


def _blocks(keys: Any) -> list[Any]:
    from pycrograd_core.capture.repeats import repeats

    return repeats(keys)


def _count(count: float) -> str:
    """A number of operations, short."""
    for unit in ("", " k", " M"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1000
    return f"{count:.3g} G"
