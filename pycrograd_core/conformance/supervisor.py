"""Runs checks in processes of their own, some at a time: a check that crashes or hangs is a result like any other."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pycrograd_core.environment import environment
from pycrograd_core.errors import BackendError

from .check import Check
from .result import Outcome, Result
from .worker import Describe, Introduction, Load, Refusal, work

SECONDS = 300.0  # that a check may take
LOADING = 300.0  # and loading the backend
GRACE = 5.0  # seconds that a process has to write down where it hangs, or to end
MOST_LOST = 10  # processes that a backend may take with it before no more is asked
TRACE = 1500  # characters of a trace that are shown


@dataclass(frozen=True)
class Lost:
    """A process that says nothing more: how it ended, and what it was doing."""

    outcome: Outcome
    message: str


class Process:
    """One process with the backend in it, started anew when the backend has ended it."""

    def __init__(
        self, load: Load, describe: Describe, trace: Path, seconds: float, starts: threading.Semaphore
    ) -> None:
        self._load, self._describe, self._trace, self._seconds, self._starts = load, describe, trace, seconds, starts
        self._process: Any = None
        self._pipe: Any = None

    def start(self) -> Introduction:
        """Begin, and hear of the backend. Raises BackendError if it cannot be loaded."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self._load, self._describe, self._trace, self._seconds)
        self._process = context.Process(target=work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        said = self._heard(LOADING)
        if isinstance(said, Introduction):
            return said
        self.end()
        reason = said.reason if isinstance(said, Refusal) else f"the backend cannot be loaded: {said.message}"
        raise BackendError(reason)

    def ask(self, check: Check) -> Result:
        """The result of a check."""
        if self._process is None:
            if not self._starts.acquire(blocking=False):
                return Result.of(check, Outcome.NOT_RUN, reason=f"the backend ended {MOST_LOST} processes before this")
            try:
                self.start()
            except BackendError as failure:
                return Result.of(check, Outcome.CRASHED, message=str(failure))
        with suppress(OSError):  # if it ended after its last answer, that is heard of now
            self._pipe.send(check.id)
        said = self._heard(self._seconds)
        if isinstance(said, Result):
            return said
        self._process = None
        return Result.of(check, said.outcome, message=said.message)

    def _heard(self, seconds: float) -> Any:
        """What the process says, or that it is lost."""
        try:
            if self._pipe.poll(seconds + GRACE):
                return self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return Lost(Outcome.CRASHED, self._traced(_ending(self._process.exitcode)))
        self._process.kill()
        self._process.join()
        return Lost(Outcome.TIMED_OUT, self._traced(f"it took more than {seconds:g} seconds"))

    def _traced(self, ending: str) -> str:
        trace = self._trace.read_text(errors="replace").strip() if self._trace.exists() else ""
        return f"{ending}\n{trace[:TRACE]}".rstrip()

    def end(self, at_once: bool = False) -> None:
        """End the process, if there is one: when it has finished what it does, or at once."""
        if self._process is None:
            return
        if at_once:
            self._process.kill()
        else:
            with suppress(OSError):  # it may have ended already
                self._pipe.send(None)
            self._process.join(GRACE)
            if self._process.exitcode is None:
                self._process.kill()
        self._process.join()
        self._process = None


def _ending(code: int) -> str:
    """How a process ended, by its exit code."""
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


class Supervisor:
    """Checks of one backend, `jobs` at a time, each for `seconds` at most. A context manager: leaving it ends all.

    `load` makes the backend there, `describe` says what it runs on: functions of a module, or partials of one, since
    they are sent to other processes. Raises BackendError if the backend cannot be loaded.
    """

    def __init__(self, load: Load, jobs: int = 1, seconds: float = SECONDS, describe: Describe = environment) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pycrograd-check-")
        starts = threading.Semaphore(MOST_LOST + jobs - 1)  # all but the first process begin with their first check
        self._processes = [
            Process(load, describe, Path(self._folder.name, f"{number}.txt"), seconds, starts) for number in range(jobs)
        ]
        try:
            self.introduction = self._processes[0].start()
        except BaseException:
            self._close(at_once=True)
            raise

    def run(self, checks: Iterable[Check]) -> Iterator[Result]:
        """What comes of each check, in their order."""
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
