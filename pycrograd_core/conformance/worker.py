"""The process that a backend is checked in: what a backend does to it, it does to nobody else.

It works through a pipe: first it introduces the backend and its checks, then it answers the name of a check with the
check's result, until it is given None.
"""

from __future__ import annotations

import faulthandler
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pycrograd_core.errors import BackendError

from .check import Check, Evidence
from .runner import attempt, not_asked
from .subject import Subject
from .tiers import checks

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pycrograd_core.matrix import Matrix

Load = Callable[[], "type[Matrix]"]
Describe = Callable[["type[Matrix]"], dict[str, Any]]


@dataclass(frozen=True)
class Introduction:
    """A backend that was loaded, and what there is to ask it. The checks cannot be run outside their process."""

    name: str
    device: str
    capabilities: frozenset[str]
    environment: dict[str, Any]
    checks: list[Check]


@dataclass(frozen=True)
class Refusal:
    """Why a backend cannot be loaded. Its traceback was printed."""

    reason: str


def elsewhere() -> Evidence:
    """Stands for the run of a check of another process."""
    raise RuntimeError("this check runs in the process that introduced it")


def work(pipe: Connection, load: Load, describe: Describe, trace: Path, loading: float, seconds: float) -> None:
    """Check a backend, as the pipe says. Where a check crashes or takes too long, `trace` tells what it was doing.

    What takes too long ends this process, also when nobody is there any more to do so.
    """
    with trace.open("w") as file:
        faulthandler.enable(file)
        faulthandler.dump_traceback_later(loading, exit=True, file=file)
        try:
            subject = Subject(load())
            asked = checks(subject)
        except BaseException as failure:  # noqa: BLE001  a backend raises anything, and ends the program if it likes
            _refuse(pipe, failure)
        known = {check.id: check for check in asked}
        described = [replace(check, run=elsewhere) for check in asked]
        capabilities, about = frozenset(subject.capabilities), describe(subject.matrix)
        faulthandler.cancel_dump_traceback_later()
        with suppress(EOFError, OSError):  # whoever asks is gone: this has no more to do
            pipe.send(Introduction(subject.name, subject.device, capabilities, about, described))
            while (name := pipe.recv()) is not None:
                check = known[name]
                faulthandler.dump_traceback_later(seconds, exit=True, file=file)
                result = not_asked(subject, check) or attempt(check).result
                faulthandler.cancel_dump_traceback_later()
                pipe.send(result)


def _refuse(pipe: Connection, failure: BaseException) -> NoReturn:
    cause = failure.__cause__ if isinstance(failure, BackendError) else failure
    if cause is not None:
        traceback.print_exception(cause)
    pipe.send(Refusal(str(failure) or type(failure).__name__))
    sys.exit(1)
