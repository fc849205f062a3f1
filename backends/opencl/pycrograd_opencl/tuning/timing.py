"""How long something takes: the least of several times. What else the machine does makes nothing faster."""

from __future__ import annotations

from collections.abc import Callable

TURN = 0.15  # seconds that measurements of one thing may take
FEWEST = 3  # measurements


def least(run: Callable[[], float], limit: float = float("inf")) -> float:
    """The least of the seconds that some runs say they took; of the second alone, if that is far more than `limit`."""
    run()
    best = run()
    if best > 2 * limit:
        return best
    spent, count = best, 1
    while count < FEWEST or spent < TURN:
        taken = run()
        best, spent, count = min(best, taken), spent + taken, count + 1
    return best
