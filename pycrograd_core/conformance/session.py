"""One examination of an installed backend, from its name to the report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from types import TracebackType

from pycrograd_core.plugins import candidates, get_backend

from .check import Check
from .expectations import expectations
from .report import Report
from .result import Result
from .selection import Selection
from .supervisor import SECONDS, Supervisor


class Session:
    """Asks a backend the checks of a selection. A context manager: leaving it ends the processes.

    Raises BackendError if the backend cannot be loaded, ConfigError if its file of expected failures cannot be used,
    OptionError if the selection names no check.
    """

    def __init__(
        self, backend: str, device: str | None, selection: Selection, jobs: int = 1, seconds: float = SECONDS
    ) -> None:
        candidate = candidates().get(backend)
        if candidate is None or candidate.spec is None or candidate.failure is not None:
            get_backend(backend)  # raises, and says why
        assert candidate is not None
        assert candidate.spec is not None
        self._device, self._selection = device, selection
        self._contract = ".".join(map(str, candidate.spec.contract))
        self._began, self._date = time.perf_counter(), datetime.now(UTC)
        self._results: list[Result] = []
        self._supervisor = Supervisor(partial(get_backend, backend, device), jobs, seconds)
        try:
            self._about = self._supervisor.introduction
            self._expected = expectations(candidate, self._about.device, self._about.checks)
            self.checks: list[Check] = selection.of(self._about.checks)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def results(self) -> Iterator[Result]:
        """What comes of each check, in their order."""
        for result in self._supervisor.run(self.checks):
            self._results.append(self._expected.judge(result))
            yield self._results[-1]

    def report(self) -> Report:
        """What the results so far come to."""
        about = self._about
        return Report(
            backend=about.name,
            device=about.device,
            contract=self._contract,
            capabilities=sorted(map(str, about.capabilities)),
            environment=about.environment,
            command=self._command(),
            date=self._date.isoformat(timespec="seconds"),
            seconds=time.perf_counter() - self._began,
            results=self._results,
            partial=len(self.checks) < len(about.checks),
            stale=self._expected.stale(about.checks, self._results),
        )

    def _command(self) -> str:
        tiers = [word for tier in self._selection.tiers for word in ("--tier", tier)]
        device = ["--device", self._device] if self._device is not None else []
        only = [word for pattern in self._selection.only for word in ("--only", pattern)]
        return shlex.join(["pycrograd", "check", self._about.name, *device, *tiers, *only])

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._supervisor.__exit__(kind, value, at)
