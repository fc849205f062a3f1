"""What came of a check."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from .check import Check


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    CRASHED = "crashed"  # it took the process with it
    TIMED_OUT = "timed out"
    EXPECTED_FAILURE = "expected failure"  # it did not pass, and the backend's author has said why
    NOT_ASKED = "not asked"  # the backend lacks a capability that the check needs
    NOT_RUN = "not run"  # too many checks before it took the process with them


FAILURES = frozenset({Outcome.FAILED, Outcome.CRASHED, Outcome.TIMED_OUT})
UNASKED = frozenset({Outcome.NOT_ASKED, Outcome.NOT_RUN})


@dataclass(frozen=True)
class Result:
    """What came of one check.

    `cases`, `error` and `tolerance` are the evidence of a check that passed. `message` says what is wrong where it did
    not. `reason` is why it was expected to fail, or why it was not asked.
    """

    check: str
    tier: str
    name: str
    outcome: Outcome
    op: str | None = None
    dtype: str | None = None
    cases: int = 0
    error: float | None = None
    tolerance: float | None = None
    seconds: float = 0.0
    message: str = ""
    reason: str = ""

    @classmethod
    def of(cls, check: Check, outcome: Outcome, **found: Any) -> Result:
        """The result of a check."""
        return cls(check.id, check.tier, check.name, outcome, check.op, check.dtype, **found)

    def to_json(self) -> dict[str, Any]:
        """A record of the fields, by their names. An error that is no finite number is None."""
        record = {**vars(self), "outcome": self.outcome.value}
        for name in ("error", "tolerance"):
            value = record[name]
            record[name] = value if value is not None and math.isfinite(value) else None
        return record

    def expected(self, reason: str) -> Result:
        """This result where the check was expected to fail, for a reason."""
        if self.outcome in FAILURES:
            return replace(self, outcome=Outcome.EXPECTED_FAILURE, reason=reason)
        return self

    @property
    def strain(self) -> float:
        """The error in units of the error that was allowed; -1 where there is none to speak of."""
        if self.error is None:
            return -1.0
        if not self.tolerance:
            return 0.0 if self.error == 0 else math.inf
        return self.error / self.tolerance
