"""What the kit is made of: a check, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Run = Callable[[], "Evidence"]


@dataclass(frozen=True)
class Evidence:
    """What a check that passed saw: how many cases, the worst error among them, and the error that was allowed.

    Errors are relative; to what is the check's own affair (see `measure`). They are None where bits are compared, or no
    values at all.
    """

    cases: int
    error: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Check:
    """One question to a backend. `run()` returns `Evidence`, or raises `ConformanceError`, which says what is wrong.

    `op` is the op in question, if it is a single one. `needs` is the capability without which a backend is not asked.
    """

    tier: str
    name: str
    run: Run
    op: str | None = None
    dtype: str | None = None
    needs: str | None = None

    @property
    def id(self) -> str:
        """What a person types, and what a report and a file of expected failures call it."""
        return f"{self.tier}/{self.name}"
