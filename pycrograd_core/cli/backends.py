"""`pycrograd backends`: what is installed, and what it can use on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pycrograd_core.plugins.backends import Candidate


def backends(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, and nothing else.")] = False,
) -> None:
    """List every backend: distribution, version, devices, status and, if unusable, why."""
    import json

    from pycrograd_core.plugins import candidates

    rows = [_row(candidate) for candidate in candidates().values()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "status", "distribution", "runtime", "devices"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        runtime = row["runtime"] or "–"
        devices = "\n".join([*row["devices"], *([row["reason"]] if row["reason"] else [])]) or "–"
        table.add_row(row["name"], row["status"], f"{row['distribution']} {row['version']}", runtime, devices)
    Console().print(table)
    if not rows:
        typer.echo("no backend is installed: install one, such as a distribution called pycrograd-NAME")


def _row(candidate: Candidate) -> dict[str, Any]:
    probe = candidate.probe()
    return {
        "name": candidate.name,
        "status": candidate.status(probe),
        "distribution": candidate.plugin.distribution,
        "version": candidate.plugin.version,
        "contract": ".".join(map(str, candidate.spec.contract)) if candidate.spec else None,
        "summary": candidate.spec.summary if candidate.spec else None,
        "runtime": probe.version or None,
        "devices": list(probe.devices),
        "reason": probe.reason or None,
    }
