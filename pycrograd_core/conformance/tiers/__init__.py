"""The tiers of the kit, from what is quick and comes first to what is slow and rests on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from pycrograd_core.conformance.check import Check
from pycrograd_core.conformance.subject import Subject

from . import (
    capture,
    determinism,
    fused,
    gradients,
    graphs,
    growth,
    host,
    kernels,
    signatures,
    threads,
    training,
    values,
)


@dataclass(frozen=True)
class Tier:
    """A group of checks that ask for one thing."""

    name: str
    summary: str
    checks: Callable[[Subject], Iterator[Check]]


def _tier(module: ModuleType) -> Tier:
    summary = (module.__doc__ or "").splitlines()[0]
    return Tier(module.__name__.rpartition(".")[2], summary, module.checks)


TIERS = tuple(
    map(
        _tier,
        (
            signatures,
            host,
            kernels,
            values,
            gradients,
            fused,
            graphs,
            training,
            capture,
            determinism,
            growth,
            threads,
        ),
    )
)
