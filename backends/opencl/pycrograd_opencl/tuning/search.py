"""The search: from the parameters in use to better ones, one change at a time, for as long as there is time.

A change is kept if what it makes is right and clearly faster. What is faster is not certain on a machine that does
other things, so the least of several times counts, and a new best must beat the old one measured again, side by side.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import pyopencl as cl

from pycrograd_core.errors import BackendError

CLEARLY = 0.97  # of the time of the one before
PAIRS = 3  # measurements side by side

P = TypeVar("P", bound=Hashable)
M = TypeVar("M")


class Trial(Protocol[P, M]):
    """One thing that is tuned, on a device: what its parameters (P) may be, and what is made of them (M)."""

    def build(self, parameters: P) -> M:
        """What parameters make. Raises BackendError if the device takes no such thing."""

    def seconds(self, made: M, limit: float = float("inf")) -> float:
        """How long it takes. If that is far more than `limit`, a rough measurement will do."""

    def right(self, made: M) -> bool:
        """Whether it computes what it should, for the very sizes that are tuned."""

    def passes(self, parameters: P) -> bool:
        """Whether parameters make what is right for awkward sizes too."""

    def changes(self, parameters: P) -> Iterable[P]:
        """Parameters that differ in one thing, in the order in which to try them."""


@dataclass(frozen=True)
class Found(Generic[P]):
    """What a search found: parameters that pass the grid, and seconds before and after."""

    parameters: P
    before: float
    after: float
    tried: int
    interrupted: bool = False

    @property
    def better(self) -> bool:
        """Whether there is anything to keep."""
        return self.after < self.before


def search(trial: Trial[P, M], start: P, seconds: float) -> Found[P]:
    """The best parameters that are found in so many seconds, by which it has tried those at the start at least.

    Ctrl-C ends the search early, with what it has.
    """
    deadline = perf_counter() + seconds
    made = trial.build(start)
    better: list[tuple[float, P]] = [(trial.seconds(made), start)]
    known, interrupted = {start}, False
    try:
        _climb(trial, better, known, deadline)
    except KeyboardInterrupt:
        interrupted = True
    while len(better) > 1 and not trial.passes(better[-1][1]):
        better.pop()
    before = after = better[0][0]
    parameters = better[-1][1]
    if len(better) > 1:
        last = trial.build(parameters)
        pairs = [(trial.seconds(made), trial.seconds(last)) for _ in range(PAIRS)]
        before, after = (min(times) for times in zip(*pairs, strict=True))
    if after >= CLEARLY * before:  # it only seemed so
        parameters, after = start, before
    return Found(parameters, before, after, len(known), interrupted)


def _climb(trial: Trial[P, M], better: list[tuple[float, P]], known: set[P], deadline: float) -> None:
    """Append better and better parameters, until there is no time or no change left that helps."""
    moved = True
    while moved:
        moved = False
        for change in trial.changes(better[-1][1]):
            if change in known:
                continue
            if perf_counter() > deadline:
                return
            known.add(change)
            taken = _measured(trial, change, better[-1][0])
            if taken is not None:
                better.append((taken, change))
                moved = True
                break


def _measured(trial: Trial[P, M], parameters: P, best: float) -> float | None:
    """Seconds of what is right and clearly faster; None of what is not, or what the device refuses."""
    try:
        made = trial.build(parameters)
        taken = trial.seconds(made, best)
        return taken if taken < CLEARLY * best and trial.right(made) else None
    except (BackendError, cl.Error):  # too many registers, too long a source, too large a group: not for this device
        return None
