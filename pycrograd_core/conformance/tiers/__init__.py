"""The tiers of the kit, from what is quick and comes first to what is slow and rests on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from pycrograd_core import ops
from pycrograd_core.conformance.check import Check
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.plugins import plugin_ops

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
    """A group of checks that ask for one thing. `slow`: each of them takes seconds."""

    name: str
    summary: str
    checks: Callable[[Subject], Iterator[Check]]
    slow: bool


def _tier(module: ModuleType) -> Tier:
    summary = (module.__doc__ or "").splitlines()[0]
    return Tier(module.__name__.rpartition(".")[2], summary, module.checks, slow=module is growth)


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


def checks(subject: Subject) -> list[Check]:
    """All checks that the kit has for this backend, tier by tier, also those that it lacks the capability for.

    Of the ops in the table it asks those of the core, and those that plugins register.
    """
    known = {None, *ops.__all__, *(op.name for op in plugin_ops().ops)}
    return [check for tier in TIERS for check in tier.checks(subject) if check.op in known]
