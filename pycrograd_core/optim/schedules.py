"""Learning-rate schedules: functions from the number of steps done to a factor on the configured rate.

Each takes the run's `total_steps` and, by `warmup`, a share of them over which the rate first rises from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from annotated_types import Ge, Gt, Le

Share = Annotated[float, Ge(0), Le(1)]
Schedule = Callable[[int], float]


def constant(total_steps: int, warmup: Share = 0.0) -> Schedule:
    """The configured rate throughout."""
    return _warmed(total_steps, warmup, lambda progress: 1.0)


def linear(total_steps: int, final: Share = 0.0, warmup: Share = 0.0) -> Schedule:
    """Down in a straight line to `final` of the configured rate."""
    return _warmed(total_steps, warmup, lambda progress: 1.0 + (final - 1.0) * progress)


def cosine(total_steps: int, final: Share = 0.0, warmup: Share = 0.0) -> Schedule:
    """Down along half a cosine to `final` of the configured rate (Loshchilov and Hutter, arXiv 1608.03983)."""
    return _warmed(
        total_steps, warmup, lambda progress: final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
    )


def step(
    total_steps: int, every: Annotated[float, Gt(0), Le(1)] = 0.3, factor: Share = 0.1, warmup: Share = 0.0
) -> Schedule:
    """Times `factor` after each share `every` of the run."""
    return _warmed(total_steps, warmup, lambda progress: factor ** math.floor(progress / every + 1e-9))


def _warmed(total_steps: int, warmup: float, shape: Callable[[float], float]) -> Schedule:
    """A rise over the first steps, then `shape` of the progress from 0 to 1 over the rest."""
    rise = round(total_steps * warmup)

    def factor(done: int) -> float:
        if done < rise:
            return (done + 1) / (rise + 1)
        return shape(min(1.0, (done - rise) / max(1, total_steps - rise)))

    return factor
