"""`pycrograd inspect`: what a configuration builds, without training it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .run import ConfigPath, Json


def inspect(
    config: ConfigPath,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value.")] = None,
    as_json: Json = False,
) -> None:
    """Show layers, shapes, parameters, FLOPs and bytes of a training step. Trains nothing, and draws no weights."""
    import json

    from pycrograd_core.training.inspection import inspect_model

    from .run import load

    report = inspect_model(load(config, settings or []))
    typer.echo(json.dumps(report)) if as_json else _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        title=f"{report['name']}: a batch of {report['batch_size']}, {report['dtype']}",
        title_justify="left",
    )
    table.add_column("layer", no_wrap=True)
    for heading in ("output", "parameters", "forward FLOPs", "weights", "activations"):
        table.add_column(heading, justify="right")
    for layer in report["layers"]:
        table.add_row(layer["name"], "×".join(map(str, layer["output"])), *_figures(layer))
    table.add_section()
    table.add_row("all", "", *_figures(report["total"]))
    console = Console()
    console.print(table)
    step = report["step"]
    console.print(
        f"a training step: {step['ops']} kernels, {step['flops']:,} FLOPs, {_bytes(step['bytes'])} read and written",
        highlight=False,
    )


def _figures(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['parameters']:,}",
        f"{row['flops']:,}",
        _bytes(row["parameter_bytes"]),
        _bytes(row["activation_bytes"]),
    ]


def _bytes(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} GiB"
