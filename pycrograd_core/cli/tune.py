"""`pycrograd tune`: faster parameters for the kernels of a configuration, found by trying."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import INTERRUPTED
from .run import Backend, ConfigPath, Device, Json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from pycrograd_core.plugins import BackendSpec, Tuned

SECONDS = 60.0


def tune(
    config: ConfigPath,
    backend: Backend = None,
    device: Device = None,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0, help="About how long to search, in all.")
    ] = SECONDS,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change one value.")] = None,
    as_json: Json = False,
) -> None:
    """Search faster parameters for the kernels of a configuration's training step, on a device.

    What is right and faster is stored, for this device and driver, and used from then on. Ctrl-C ends the search with
    what it has, and exit code 130. Trains nothing.
    """
    import json
    from dataclasses import asdict

    from pycrograd_core.training.inspection import training_step

    from .run import given, load

    spec = _tunable(backend)
    assert spec.tune is not None
    options = given({"--backend": ("backend", spec.name), "--device": ("device", device)})
    checked = load(config, [*(settings or []), *options])
    program = training_step(checked).program
    chosen = None if checked.device is None else str(checked.device)
    with _interrupts() as interrupts:
        found = spec.tune(program, chosen, seconds, _silent if as_json else _notice)
    if as_json:
        typer.echo(json.dumps([asdict(tuned) for tuned in found]))
    else:
        _show(found)
    if interrupts:
        raise typer.Exit(INTERRUPTED)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals of Ctrl-C that came inside the block: a backend that is interrupted ends with what it has."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _tunable(name: str | None) -> BackendSpec:
    """The backend of this name, or the one of highest priority that can be tuned."""
    from pycrograd_core.errors import BackendError
    from pycrograd_core.plugins import candidates
    from pycrograd_core.registry import nearest

    found = candidates()
    specs = {key: each.spec for key, each in found.items() if each.spec is not None and each.failure is None}
    able = sorted((spec for spec in specs.values() if spec.tune), key=lambda spec: (spec.priority, spec.name))
    names = ", ".join(spec.name for spec in able) or "none of those installed"
    if name is None:
        if not able:
            raise BackendError("no installed backend can be tuned")
        return able[-1]
    if name not in found:
        raise BackendError(f"there is no backend {name!r} installed; {nearest(name, found)}")
    if name not in specs:
        raise BackendError(f"the backend {name!r} is broken or blocked: see `pycrograd doctor`")
    if specs[name] not in able:
        raise BackendError(f"the backend {name!r} cannot be tuned; those that can: {names}")
    return specs[name]


def _notice(line: str) -> None:
    typer.echo(line, err=True)


def _silent(line: str) -> None:
    """Nothing: the output is JSON."""


def _show(found: Sequence[Tuned]) -> None:
    """A row for each thing that was tuned."""
    from rich.console import Console
    from rich.table import Table

    rulers = list(dict.fromkeys(name for tuned in found for name in tuned.rulers))
    table = Table(box=None, pad_edge=False)
    table.add_column("what", no_wrap=True)
    for heading in ("before", "after", "speed-up", *(f"vs {name}" for name in rulers)):
        table.add_column(heading, justify="right")
    table.add_column("parameters", overflow="fold")
    for tuned in found:
        table.add_row(*_row(tuned, rulers))
    Console(highlight=False).print(table)


def _row(tuned: Tuned, rulers: Sequence[str]) -> list[Any]:
    times = [f"{seconds * 1e6:,.0f} µs" for seconds in (tuned.before, tuned.after)]
    against = [f"{tuned.rulers[name] / tuned.after:.2f}×" if name in tuned.rulers else "–" for name in rulers]
    chosen = tuned.chosen if tuned.kept else "as before"
    return [tuned.what, *times, f"{tuned.before / tuned.after:.2f}×", *against, chosen]
