"""`pycrograd backends`: what is installed, and what it can use on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pycrograd_core.plugins.backends import Candidate
    from pycrograd_core.plugins.examination import Examination

SECONDS = 30.0


def backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, and nothing else.")] = False,
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0, help="How long to look at a backend.")
    ] = SECONDS,
) -> None:
    """List every backend: distribution, version, devices, status and, if unusable, why."""
    import json

    from pycrograd_core.plugins import candidates, installed
    from pycrograd_core.plugins.examination import examine
    from pycrograd_core.plugins.loader import BLOCK_VARIABLE
    from pycrograd_core.registry import nearest

    known = [plugin.name for plugin in installed().plugins]
    for name in installed().unknown_blocked:
        typer.echo(f"warning: {BLOCK_VARIABLE} names no plugin {name!r}; {nearest(name, known)}", err=True)
    found = list(candidates().values())
    rows = [_row(candidate, seen) for candidate, seen in zip(found, examine(found, seconds), strict=True)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "status", "distribution", "runtime", "devices"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        runtime = row["runtime"] or "–"
        devices = "\n".join([*row["devices"], *([row["reason"]] if row["reason"] else [])]) or "–"
        cells = (row["name"], row["status"], f"{row['distribution']} {row['version']}", runtime, devices)
        table.add_row(*map(escape, cells))
    Console().print(table)
    if not rows:
        typer.echo("no backend is installed: install one, such as a distribution called pycrograd-NAME")


def _row(candidate: Candidate, seen: Examination) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "status": seen.status.value,
        "distribution": candidate.plugin.distribution,
        "version": candidate.plugin.version,
        "contract": ".".join(map(str, candidate.spec.contract)) if candidate.spec else None,
        "summary": candidate.spec.summary if candidate.spec else None,
        "runtime": seen.probe.version or None,
        "devices": list(seen.probe.devices),
        "reason": seen.probe.reason or None,
    }
