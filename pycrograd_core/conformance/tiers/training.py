"""Training goes the way that it goes in float64, for 50 steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from pycrograd_core.capture.captured import capture
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import whole
from pycrograd_core.conformance.networks import NETWORKS, OPTIMISERS, Training, batches
from pycrograd_core.conformance.oracle import Oracle
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.random import seed

STEPS, BATCH = 50, 16
TOLERANCE = {"float32": 2e-5, "float64": 1e-10}  # honest ones end within 2e-6 and 1e-12
COURSES = [
    (network, optimiser)
    for network in NETWORKS
    for optimiser in (
        OPTIMISERS if network == "relu" else ("sgd", "adam") if network == "normalised" else ("momentum",)
    )
]


@cache
def _exact(network: str, optimiser: str) -> tuple[Any, dict[str, Any]]:
    """The losses and the last state of a course in float64."""
    return _course(Training(Subject(Oracle), network, optimiser, "float64"), captured=False)


def _course(training: Training, captured: bool) -> tuple[Any, dict[str, Any]]:
    seed(1)  # of the masks of dropout
    step = capture(training.step) if captured else training.step
    losses = [step(*training.parts(rows)).item() for rows in batches(STEPS, BATCH)]
    return np.array([losses]), training.state()


def _trained(subject: Subject, network: str, optimiser: str, dtype: str, captured: bool) -> Evidence:
    losses, state = _course(Training(subject, network, optimiser, dtype), captured)
    expected, weights = _exact(network, optimiser)
    case, limit = f"{network} by {optimiser}", TOLERANCE[dtype]
    error = whole(losses.astype("float64"), expected, limit, f"the losses of {case}")
    for name, values in weights.items():
        found = np.atleast_2d(state[name]).astype("float64")
        error = max(error, whole(found, np.atleast_2d(values), limit, f"{name} of {case} after {STEPS} steps"))
    return Evidence(STEPS, error, limit)


def ways(subject: Subject, dtype: str) -> tuple[str, ...]:
    """How steps are made: in both ways, but where compiling is costly captured in the one dtype that is trained in."""
    costly = "costly_compile" in subject.capabilities and dtype != "float32"
    return ("eager",) if costly else ("eager", "captured")


def checks(subject: Subject) -> Iterator[Check]:
    """Each course eagerly and captured, in each dtype."""
    for dtype in subject.dtypes:
        for network, optimiser in COURSES:
            for way in ways(subject, dtype):
                run = partial(_trained, subject, network, optimiser, dtype, captured=way == "captured")
                yield Check("training", f"{network} by {optimiser}, {way} {dtype}", run, dtype=dtype)
