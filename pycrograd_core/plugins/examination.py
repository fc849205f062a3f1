"""Backends as they are on this machine, each looked at in a process of its own.

Drivers crash and hang, and plugins are written by anybody: a probe that ends its process, or never returns, is a reason
why a backend cannot be used, and takes no other down.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import BackendError

from .apart import Apart, EndedError
from .backends import Candidate, candidates, get_backend
from .specs import Finding, Probe

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Status(StrEnum):
    """A backend in a word."""

    USABLE = "usable"
    UNUSABLE = "unusable"  # on this machine: it finds no device
    BROKEN = "broken"  # until it is mended
    BLOCKED = "blocked"  # by the environment


@dataclass(frozen=True)
class Examination:
    """What came of looking at a backend: its status, what its probe found, and what its diagnosis did if it was asked.

    The probe's reason says why a backend is not usable.
    """

    status: Status
    probe: Probe
    findings: Sequence[Finding] = ()


def examine(found: Iterable[Candidate], seconds: float, closely: bool = False) -> list[Examination]:
    """Look at backends, all at a time, each in its own process and for so many seconds at most; `closely`: diagnose."""
    until = time.monotonic() + seconds
    with ExitStack() as begun:
        looks = [(candidate, _begin(candidate, closely, begun)) for candidate in found]
        return [
            examined(candidate, closely) if apart is None else _heard(candidate, apart, until, seconds, closely)
            for candidate, apart in looks
        ]


def examined(candidate: Candidate, closely: bool = False) -> Examination:
    """Look at a backend in this process."""
    probe = candidate.probe()
    status = _status(candidate, probe)
    if status is Status.USABLE:
        try:
            get_backend(candidate.name)
        except BackendError as failure:
            status, probe = Status.BROKEN, Probe(probe.version, reason=str(failure))
    return Examination(status, probe, tuple(_findings(candidate, status, probe)) if closely else ())


def _status(candidate: Candidate, probe: Probe) -> Status:
    if candidate.failure is not None:
        return Status.BROKEN
    if candidate.spec is None:
        return Status.BLOCKED
    return Status.USABLE if probe.devices else Status.UNUSABLE


# In a process of its own -------------------------------------------------------------------------------------------


def _begin(candidate: Candidate, closely: bool, begun: ExitStack) -> Apart | None:
    """A process that looks at a backend, and ends with the others; None if nothing of the backend would run in it."""
    if candidate.spec is None or candidate.failure is not None:
        return None
    apart = Apart(_work, candidate.name, closely)
    begun.callback(apart.kill)
    return apart


def _heard(candidate: Candidate, apart: Apart, until: float, seconds: float, closely: bool) -> Examination:
    """What the process found, or what became of it."""
    try:
        answer: Examination | None = apart.heard(max(0.0, until - time.monotonic()))
        if answer is not None:
            return answer
        reason = f"looking at it took more than {seconds:g} seconds"
    except EndedError as ended:
        reason = f"when it was looked at, {ended}"
    findings = [Finding("plugin", ok=False, detail=reason, mend=_mend(candidate))] if closely else []
    return Examination(Status.BROKEN, Probe(reason=reason), findings)


def _work(pipe: Connection, name: str, closely: bool) -> None:
    seen = examined(candidates()[name], closely)
    with suppress(OSError):  # whoever asks is gone
        pipe.send(seen)


# What mends it -----------------------------------------------------------------------------------------------------


def _findings(candidate: Candidate, status: Status, probe: Probe) -> Iterator[Finding]:
    """What there is to say of a backend: its own diagnosis if it has one, else what its probe says."""
    spec = candidate.spec
    if status is Status.BLOCKED:
        mend = f"take {candidate.plugin.name} out of PYCROGRAD_BLOCK_PLUGINS"
        yield Finding("plugin", ok=False, detail=probe.reason, mend=mend)
    elif status is Status.BROKEN:
        yield Finding("plugin", ok=False, detail=probe.reason, mend=_mend(candidate, candidate.failure))
    if spec is None or candidate.failure is not None:
        return
    if spec.diagnose is not None:
        yield from _diagnosis(candidate, spec.diagnose)
    elif status is not Status.BROKEN:
        mend = "" if probe.devices else f"pip install --upgrade {candidate.plugin.distribution}"
        detail = "; ".join([*probe.devices, *([probe.reason] if probe.reason else [])])
        yield Finding("devices", ok=bool(probe.devices), detail=detail, mend=mend)


def _diagnosis(candidate: Candidate, diagnose: Callable[[], Sequence[Finding]]) -> Sequence[Finding]:
    try:
        return diagnose()
    except (Exception, SystemExit) as failure:  # noqa: BLE001  drivers and their bindings raise anything
        detail = f"{type(failure).__name__}: {failure}"
        return [Finding("diagnosis", ok=False, detail=detail, mend=_mend(candidate, failure))]


def _mend(candidate: Candidate, failure: BaseException | None = None) -> str:
    """What to try where a plugin does not work."""
    plugin = candidate.plugin
    missing: Any = failure.name if isinstance(failure, ModuleNotFoundError) else None
    if missing and not plugin.distribution.replace("-", "_").startswith(missing.split(".")[0]):
        return f"pip install {missing.split('.')[0]}"
    return (
        f"pip install --upgrade --force-reinstall {plugin.distribution}; or leave it out with"
        f" PYCROGRAD_BLOCK_PLUGINS={plugin.name}, or pip uninstall {plugin.distribution}"
    )
