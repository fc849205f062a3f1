"""`pycrograd check`: hold a backend to the contract, and certify what holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import FAILED

if TYPE_CHECKING:
    from pycrograd_core.conformance.report import Report
    from pycrograd_core.conformance.selection import Selection
    from pycrograd_core.conformance.session import Session

JOBS, SECONDS = 2, 300.0


def check(
    backend: Annotated[str, typer.Argument(metavar="BACKEND", help="The backend: see `pycrograd backends`.")],
    device: Annotated[str | None, typer.Option("--device", metavar="D", help="The backend's device.")] = None,
    tiers: Annotated[
        list[str] | None, typer.Option("--tier", metavar="T", help="Only this tier. May be repeated.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="PATTERN", help="Only checks so called: 'kernels/matmul*'. May be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write the certificate to FILE.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", metavar="N", min=1, help="How many processes ask at a time.")] = JOBS,
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="S", min=1, help="How long one check may take.")
    ] = SECONDS,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the checks, and ask nothing.")] = False,
) -> None:
    """Hold a backend to the contract: kernels, gradients, training and captured steps against float64, and more.

    The checks run in processes of their own, so that a crash or a hang is a check that failed. Exits with 0 if the
    backend passes all that it is asked, with 1 if it does not. `--only` chooses among the checks of `--tier`.
    """
    import json

    from pycrograd_core.conformance.selection import Selection
    from pycrograd_core.plugins import plugin_ops

    from .check_display import display

    if html is not None and (html.is_dir() or not os.access(html if html.exists() else html.parent, os.W_OK)):
        raise typer.BadParameter(f"cannot write {html}")
    for trouble in plugin_ops().troubles:
        typer.echo(trouble, err=True)
    with _session(backend, device, Selection(tiers or (), only or ()), jobs, seconds) as session:
        if names:
            typer.echo("\n".join(check.id for check in session.checks))
            return
        with display(quiet=as_json) as shown:
            shown.begin(session.checks)
            for result in session.results():
                shown.tell(result)
        report = session.report()
    if html is not None:
        _certify(html, report)
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        shown.summarise(report, html)
    if not report.holds:
        raise typer.Exit(FAILED)


def _session(backend: str, device: str | None, selection: Selection, jobs: int, seconds: float) -> Session:
    from pycrograd_core.conformance.session import Session
    from pycrograd_core.errors import OptionError
    from pycrograd_core.plugins import candidates
    from pycrograd_core.plugins.backends import unknown_backend

    if backend not in candidates():
        raise typer.BadParameter(str(unknown_backend(backend)))
    try:
        return Session(backend, device, selection, jobs, seconds)
    except OptionError as mistake:
        raise typer.BadParameter(str(mistake)) from mistake


def _certify(file: Path, report: Report) -> None:
    from pycrograd_core.conformance.certificate import certificate
    from pycrograd_core.errors import PycrogradError

    try:
        file.write_text(certificate(report), encoding="utf-8")
    except OSError as error:
        raise PycrogradError(f"cannot write {file}: {error.strerror or error}") from error
