"""Runs checks in processes of their own, some at a time: a check that crashes or hangs is a result like any other."""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pycrograd_core.environment import environment
from pycrograd_core.errors import BackendError
from pycrograd_core.plugins.apart import GRACE, Apart, EndedError

from .check import Check
from .result import Outcome, Result
from .worker import Describe, Introduction, Load, work

SECONDS = 300.0  # that a check may take
LOADING = 300.0  # and loading the backend
MOST_LOST = 10  # processes that may crash or hang before no more is asked
TRACE = 1500  # characters of a trace that are shown


@dataclass(frozen=True)
class Lost:
    """A process that says nothing more: how it ended, what it was doing, and for how many seconds."""

    outcome: Outcome
    message: str
    seconds: float = 0.0


class Process:
    """One process with the backend in it, begun anew when it is lost. `lost`: all that are, also those beside it."""

    def __init__(self, load: Load, describe: Describe, trace: Path, seconds: float, lost: list[Lost]) -> None:
        self._load, self._describe, self._trace, self._seconds, self._lost = load, describe, trace, seconds, lost
        self._apart: Apart | None = None
        self._over = False
        self._ending = threading.Lock()  # `end` is called by another thread than the one that asks

    def start(self) -> Introduction:
        """Begin, and hear of the backend. Raises BackendError if it cannot be loaded."""
        with self._ending:
            if self._over:
                raise BackendError("the checks are over")
            apart = Apart(work, self._load, self._describe, self._trace, LOADING, self._seconds)
            self._apart = apart
        said = self._heard(apart, LOADING)
        if isinstance(said, Introduction):
            return said
        self._apart = None
        if isinstance(said, Lost):
            raise BackendError(f"the backend cannot be loaded: {said.message}")
        self._lost.append(Lost(Outcome.CRASHED, said.reason))
        apart.end()
        raise BackendError(said.reason)

    def ask(self, check: Check) -> Result:
        """The result of a check."""
        result = self._asked(check)
        if self._over and result.outcome is Outcome.CRASHED:
            return Result.of(check, Outcome.NOT_RUN, reason="the checks were over before this")
        return result

    def _asked(self, check: Check) -> Result:
        if self._apart is None:
            if len(self._lost) >= MOST_LOST:
                reason = f"{len(self._lost)} processes with this backend crashed or hung before this"
                return Result.of(check, Outcome.NOT_RUN, reason=reason)
            began = time.monotonic()
            try:
                self.start()
            except BackendError as failure:
                took = time.monotonic() - began
                return Result.of(check, Outcome.CRASHED, message=str(failure), seconds=took)
        assert self._apart is not None
        self._apart.say(check.id)
        said = self._heard(self._apart, self._seconds)
        if isinstance(said, Lost):
            return Result.of(check, said.outcome, message=said.message, seconds=said.seconds)
        return said

    def _heard(self, apart: Apart, seconds: float) -> Any:
        """What the process says, or that it is lost."""
        began = time.monotonic()
        try:
            said = apart.heard(seconds + GRACE)
            if said is not None:
                return said
            message = ""
        except EndedError as ended:
            message = str(ended)
        took = time.monotonic() - began
        apart.kill()
        self._apart = None
        if took < seconds:
            lost = Lost(Outcome.CRASHED, self._traced(message), took)
        else:  # it wrote down where it hangs and ended, or not even that
            lost = Lost(Outcome.TIMED_OUT, self._traced(f"it took more than {seconds:g} seconds"), took)
        self._lost.append(lost)
        return lost

    def _traced(self, ending: str) -> str:
        try:
            trace = self._trace.read_text(errors="replace").strip()
        except OSError:  # nothing was written, or the folder is gone, since the checks are over
            trace = ""
        return f"{ending}\n{trace[:TRACE]}".rstrip()

    def end(self, at_once: bool = False) -> None:
        """End the process for good, if there is one: when it has finished what it does, or at once."""
        with self._ending:
            self._over = True
            apart = self._apart
        if apart is not None and at_once:
            apart.kill()
        elif apart is not None:
            apart.end()


class Supervisor:
    """Checks of one backend, `jobs` at a time, each for `seconds` at most. A context manager: leaving it ends all.

    `load` makes the backend there, `describe` says what it runs on: functions of a module, or partials of one, since
    they are sent to other processes. Raises BackendError if the backend cannot be loaded.
    """

    def __init__(self, load: Load, jobs: int = 1, seconds: float = SECONDS, describe: Describe = environment) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pycrograd-check-")
        lost: list[Lost] = []
        self._processes = [
            Process(load, describe, Path(self._folder.name, f"{number}.txt"), seconds, lost) for number in range(jobs)
        ]
        try:
            self.introduction = self._processes[0].start()  # the others begin with their first check
        except BaseException:
            self._close(at_once=True)
            raise

    def run(self, checks: Iterable[Check]) -> Iterator[Result]:
        """What comes of each check, in their order. Those that are left when the supervisor is, are not run."""
        idle: queue.SimpleQueue[Process] = queue.SimpleQueue()
        for process in self._processes:
            idle.put(process)

        def ask(check: Check) -> Result:
            process = idle.get()
            try:
                return process.ask(check)
            finally:
                idle.put(process)

        pool = ThreadPoolExecutor(len(self._processes), "check")
        try:
            yield from pool.map(ask, checks)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _close(self, at_once: bool) -> None:
        for process in self._processes:
            process.end(at_once)
        self._folder.cleanup()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._close(at_once=kind is not None)
