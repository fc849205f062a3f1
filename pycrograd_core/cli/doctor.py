"""`pycrograd doctor`: what is wrong with the backends and devices of this machine, and the line that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import FAILED

if TYPE_CHECKING:
    from rich.console import Console

    from pycrograd_core.plugins.backends import Candidate
    from pycrograd_core.plugins.examination import Examination

SECONDS = 300.0


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, and nothing else.")] = False,
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="S", min=0, help="How long to look at a backend.")
    ] = SECONDS,
) -> None:
    """Look at every backend, its drivers and its devices, and say what mends those that do not work.

    Exits with 1 if a backend is broken, has no usable device, or lacks something essential.
    """
    import json

    from pycrograd_core.plugins import candidates
    from pycrograd_core.plugins.examination import examine

    found = list(candidates().values())
    seen = examine(found, seconds, closely=True)
    reports = [_report(candidate, each) for candidate, each in zip(found, seen, strict=True)]
    if as_json:
        typer.echo(json.dumps(reports))
    else:
        for report in reports:
            _show(report)
        if not reports:
            typer.echo("no backend is installed: install one, such as a distribution called pycrograd-NAME")
    if not reports or any(map(_fails, reports)):
        raise typer.Exit(FAILED)


def _fails(report: dict[str, Any]) -> bool:
    lacking = any(finding["essential"] and not finding["ok"] for finding in report["findings"])
    return lacking or report["status"] in ("broken", "unusable")


def _report(candidate: Candidate, seen: Examination) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "name": candidate.name,
        "status": seen.status.value,
        "distribution": candidate.plugin.distribution,
        "version": candidate.plugin.version,
        "findings": [asdict(finding) for finding in seen.findings],
    }


def _show(report: dict[str, Any]) -> None:
    """A backend and its findings, each with a mark and, below it, what mends it."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{report['name']}: {report['status']} ({report['distribution']} {report['version']})")
    for finding in report["findings"]:
        _show_finding(finding, console)


def _show_finding(finding: dict[str, Any], console: Console) -> None:
    lines = [line for line in finding["detail"].splitlines() if line.strip()]
    console.print(f"  {'✓' if finding['ok'] else '✗'} {finding['what']}" + (f": {lines[0]}" if lines else ""))
    for line in lines[1:]:
        console.print(f"      {line}")
    if finding["mend"]:
        console.print(f"    → {finding['mend']}")
