"""What a backend's checks came to: a verdict, the tiers, and the worst error of each op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from .result import FAILURES, UNASKED, Outcome, Result
from .tiers import TIERS


class Verdict(StrEnum):
    """What there is to say of a backend in a word."""

    PASSED = "passed"
    FAILED = "failed"
    PARTIAL = "partial"  # nothing failed of what was asked, but not all of the kit was


@dataclass(frozen=True)
class TierReport:
    """One tier: how its checks ended, and the one that came nearest to its tolerance."""

    name: str
    summary: str
    results: Sequence[Result]

    @cached_property
    def outcomes(self) -> Counter[Outcome]:
        """How many checks ended in which way."""
        return Counter(result.outcome for result in self.results)

    def count(self, outcomes: Iterable[Outcome]) -> int:
        """How many checks ended in one of these ways."""
        return sum(self.outcomes[outcome] for outcome in outcomes)

    @property
    def asked(self) -> int:
        """The checks that were run."""
        return len(self.results) - self.count(UNASKED)

    @property
    def passed(self) -> int:
        """Those of them that passed."""
        return self.outcomes[Outcome.PASSED]

    @property
    def failed(self) -> int:
        """Those that failed, and were not expected to."""
        return self.count(FAILURES)

    @property
    def exact(self) -> bool:
        """Whether all that was asked passed, and bits were compared."""
        return self.worst is None and self.passed == self.asked > 0

    @property
    def seconds(self) -> float:
        """How long they took, one after the other."""
        return sum(result.seconds for result in self.results)

    @property
    def worst(self) -> Result | None:
        """The check whose error came nearest to its tolerance."""
        return nearest_to_limit(self.results)

    def to_json(self) -> dict[str, Any]:
        """A record."""
        worst = self.worst
        return {
            "tier": self.name,
            "asked": self.asked,
            "passed": self.passed,
            "failed": self.failed,
            "expected_failures": self.outcomes[Outcome.EXPECTED_FAILURE],
            "not_asked": self.outcomes[Outcome.NOT_ASKED],
            "not_run": self.outcomes[Outcome.NOT_RUN],
            "seconds": round(self.seconds, 3),
            "worst": None if worst is None else worst.check,
            "worst_error": None if worst is None else worst.error,
            "tolerance": None if worst is None else worst.tolerance,
        }


@dataclass(frozen=True)
class OpReport:
    """One op in one dtype, over all tiers: how many cases passed, and the error that came nearest to its tolerance."""

    op: str
    dtype: str
    cases: int
    worst: Result | None
    passed: int
    failed: int
    expected: int

    @property
    def exact(self) -> bool:
        """Whether all of it passed, and bits were compared."""
        return self.worst is None and self.passed > 0 and not self.failed + self.expected

    def to_json(self) -> dict[str, Any]:
        """A record."""
        return {
            "op": self.op,
            "dtype": self.dtype,
            "cases": self.cases,
            "failed": self.failed,
            "expected_failures": self.expected,
            "worst": None if self.worst is None else self.worst.check,
            "worst_error": None if self.worst is None else self.worst.error,
            "tolerance": None if self.worst is None else self.worst.tolerance,
        }


@dataclass(frozen=True)
class Report:
    """All that `pycrograd check` found out about a backend on one device.

    `contract` is the version that the backend names. `partial`: checks were left out by request. `stale`: what its
    author expects to fail, and does not.
    """

    backend: str
    device: str
    contract: str
    capabilities: Sequence[str]
    environment: dict[str, Any]
    command: str
    date: str
    seconds: float
    results: Sequence[Result]
    partial: bool = False
    stale: Sequence[str] = ()

    @cached_property
    def tiers(self) -> list[TierReport]:
        """The tiers of which there is a result."""
        found = [TierReport(t.name, t.summary, [r for r in self.results if r.tier == t.name]) for t in TIERS]
        return [tier for tier in found if tier.results]

    @cached_property
    def ops(self) -> list[OpReport]:
        """The ops of which there is a result, in each dtype."""
        groups: dict[tuple[str, str], list[Result]] = {}
        for result in self.results:
            if result.op and result.dtype and result.outcome not in UNASKED:
                groups.setdefault((result.op, result.dtype), []).append(result)
        return [
            OpReport(
                op,
                dtype,
                sum(result.cases for result in group),
                nearest_to_limit(group),
                sum(result.outcome is Outcome.PASSED for result in group),
                sum(result.outcome in FAILURES for result in group),
                sum(result.outcome is Outcome.EXPECTED_FAILURE for result in group),
            )
            for (op, dtype), group in sorted(groups.items())
        ]

    def having(self, *outcomes: Outcome) -> list[Result]:
        """The results of these outcomes."""
        return [result for result in self.results if result.outcome in outcomes]

    @property
    def failures(self) -> list[Result]:
        """What nobody expected to fail."""
        return self.having(*FAILURES)

    @property
    def asked(self) -> int:
        """The checks that were run."""
        return sum(tier.asked for tier in self.tiers)

    @property
    def passed(self) -> int:
        """Those of them that passed."""
        return sum(tier.passed for tier in self.tiers)

    @property
    def verdict(self) -> Verdict:
        """Failed if a check did that was not expected to, or was not run after many crashes, or if none passed."""
        if self.failures or self.having(Outcome.NOT_RUN) or not self.passed:
            return Verdict.FAILED
        return Verdict.PARTIAL if self.partial else Verdict.PASSED

    @property
    def holds(self) -> bool:
        """Whether the backend passed all that it was asked."""
        return self.verdict is not Verdict.FAILED

    @property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        expected, failed = len(self.having(Outcome.EXPECTED_FAILURE)), len(self.failures)
        notes = [f"{expected} expected to fail"] * bool(expected)
        notes += [f"{len(self.having(Outcome.NOT_RUN))} not run"] * bool(self.having(Outcome.NOT_RUN))
        tail = f" ({', '.join(notes)})" if notes else ""
        who = f"{self.backend} on {self.device}"
        if self.verdict is Verdict.FAILED:
            what = f"fails {failed}" if failed else f"passes {self.passed}"
            return f"{who} {what} of {self.asked} checks{tail}"
        count = f"all {self.asked}" if self.passed == self.asked else f"{self.passed} of {self.asked}"
        part = "that were asked, a part of the kit" if self.partial else f"of contract {self.contract}"
        return f"{who} passes {count} checks {part}{tail}"

    def to_json(self) -> dict[str, Any]:
        """A record of everything."""
        return {
            "backend": self.backend,
            "verdict": self.verdict.value,
            "contract": self.contract,
            "device": self.device,
            "capabilities": list(self.capabilities),
            "environment": self.environment,
            "command": self.command,
            "date": self.date,
            "seconds": round(self.seconds, 3),
            "partial": self.partial,
            "asked": self.asked,
            "passed": self.passed,
            "tiers": [tier.to_json() for tier in self.tiers],
            "ops": [op.to_json() for op in self.ops],
            "checks": [result.to_json() for result in self.results],
            "stale_expectations": list(self.stale),
        }


def nearest_to_limit(results: Iterable[Result]) -> Result | None:
    """The result whose error came nearest to its tolerance; None if no result has an error."""
    measured = [result for result in results if result.error is not None and result.tolerance]
    return max(measured, key=lambda result: result.strain, default=None)
