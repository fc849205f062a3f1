"""`pycrograd doctor`: what is wrong with the backends and devices of this machine, and the line that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from pycrograd_core.plugins import Finding
    from pycrograd_core.plugins.backends import Candidate

FAILED = 1


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, and nothing else.")] = False,
) -> None:
    """Look at every backend, its drivers and its devices, and say what mends those that do not work.

    Exits with 1 if a backend is broken, has no usable device, or lacks something essential.
    """
    import json

    from pycrograd_core.plugins import candidates

    reports = []
    for candidate in candidates().values():
        reports.append(_report(candidate))
        if not as_json:
            _show(reports[-1])
    if as_json:
        typer.echo(json.dumps(reports))
    elif not reports:
        typer.echo("no backend is installed: install one, such as a distribution called pycrograd-NAME")
    if not reports or any(map(_fails, reports)):
        raise typer.Exit(FAILED)


def _fails(report: dict[str, Any]) -> bool:
    lacking = any(finding["essential"] and not finding["ok"] for finding in report["findings"])
    return lacking or report["status"] in ("broken", "unusable")


def _report(candidate: Candidate) -> dict[str, Any]:
    from dataclasses import asdict

    findings = [asdict(finding) for finding in _findings(candidate)]
    return {
        "name": candidate.name,
        "status": candidate.status(candidate.probe()),
        "distribution": candidate.plugin.distribution,
        "version": candidate.plugin.version,
        "findings": findings,
    }


def _findings(candidate: Candidate) -> Iterator[Finding]:
    """What there is to say of a backend: its own diagnosis if it has one, else what its probe says."""
    from pycrograd_core.plugins import Finding

    name, plugin = candidate.plugin.name, candidate.plugin
    if candidate.failure is not None:
        yield Finding("plugin", ok=False, detail=candidate.probe().reason, mend=_mend(candidate, candidate.failure))
    elif candidate.spec is None:
        mend = f"take {name} out of PYCROGRAD_BLOCK_PLUGINS"
        yield Finding("plugin", ok=False, detail="blocked by the environment", mend=mend)
    elif candidate.spec.diagnose is None:
        probe = candidate.probe()
        mend = "" if probe.devices else f"pip install --upgrade {plugin.distribution}"
        detail = "; ".join([*probe.devices, *([probe.reason] if probe.reason else [])])
        yield Finding("devices", ok=bool(probe.devices), detail=detail, mend=mend)
    else:
        try:
            yield from candidate.spec.diagnose()
        except Exception as failure:  # noqa: BLE001  drivers and their bindings raise anything
            detail = f"{type(failure).__name__}: {failure}"
            yield Finding("diagnosis", ok=False, detail=detail, mend=_mend(candidate, failure))


def _mend(candidate: Candidate, failure: BaseException) -> str:
    """What to try where a plugin raises."""
    plugin = candidate.plugin
    missing = failure.name if isinstance(failure, ModuleNotFoundError) else None
    if missing and not plugin.distribution.replace("-", "_").startswith(missing.split(".")[0]):
        return f"pip install {missing.split('.')[0]}"
    return (
        f"pip install --upgrade --force-reinstall {plugin.distribution}; or leave it out with"
        f" PYCROGRAD_BLOCK_PLUGINS={plugin.name}, or pip uninstall {plugin.distribution}"
    )


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
