"""Runs checks in this process: for tests, and within the process that `supervisor` watches over.

Whatever a check raises is its failure. What it does to the process itself (a crash, a hang) is beyond this.
"""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pycrograd_core.errors import ConformanceError
from pycrograd_core.random import seed

from .check import Check, Evidence
from .expectations import Expectations
from .result import Outcome, Result
from .subject import Subject

FRAMES = 6  # of a traceback's end


def run(subject: Subject, checks: Iterable[Check], expected: Expectations | None = None) -> Iterator[Result]:
    """What comes of each check, one after the other."""
    expected = expected or Expectations()
    for check in checks:
        yield expected.judge(not_asked(subject, check) or attempt(check).result)


def not_asked(subject: Subject, check: Check) -> Result | None:
    """The result of a check that this backend is not asked, since it lacks the capability."""
    if check.needs is None or check.needs in subject.capabilities:
        return None
    return Result.of(check, Outcome.NOT_ASKED, reason=f"needs the capability {check.needs}")


@dataclass(frozen=True)
class Attempt:
    """A check that was run: its result and, if it failed, what it raised."""

    result: Result
    failure: BaseException | None = None


def attempt(check: Check) -> Attempt:
    """Run a check. Random numbers start anew with each, so that it is the same alone as among others.

    A warning is no failure, whatever the filters say: the same backend passes everywhere, or nowhere.
    """
    seed(0)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            evidence = check.run()
        if not isinstance(evidence, Evidence):
            raise TypeError(f"the check {check.id} returned {evidence!r}, no Evidence")  # noqa: TRY301
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # noqa: BLE001  a backend raises anything, and ends the program if it likes
        seconds = time.perf_counter() - start
        return Attempt(Result.of(check, Outcome.FAILED, seconds=seconds, message=message(failure)), failure)
    error, tolerance = (None if x is None else float(x) for x in (evidence.error, evidence.tolerance))
    seconds = time.perf_counter() - start
    found = {"cases": int(evidence.cases), "error": error, "tolerance": tolerance, "seconds": seconds}
    return Attempt(Result.of(check, Outcome.PASSED, **found))


def message(failure: BaseException) -> str:
    """What a failure says: of one that the kit found what is wrong, of any other the end of its traceback too."""
    if isinstance(failure, ConformanceError):
        return str(failure)
    frames = "".join(traceback.format_tb(failure.__traceback__)[-FRAMES:])
    said = "".join(traceback.format_exception_only(failure)).rstrip()
    return f"{said}\n{frames}".rstrip()
