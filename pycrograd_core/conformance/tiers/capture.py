"""A captured step is the step: called, repeated, scanned."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.autograd import no_grad
from pycrograd_core.capture.captured import Captured, capture
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.graphs import GRAPHS
from pycrograd_core.conformance.measure import same, whole
from pycrograd_core.conformance.networks import Training, batches
from pycrograd_core.conformance.random_steps import RandomStep
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.random import seed

CALLS = 5  # a step is traced, confirmed, and then replayed in the ways that calls are
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
BATCHES = (1, 5, 16, 17, 33)
SCANNED = [
    ("relu", "sgd"),
    ("relu", "momentum"),
    ("tanh and sigmoid", "adam"),
    ("normalised", "adamw"),
    ("max margin", "sgd"),
]


def _costly(subject: Subject) -> bool:
    return "costly_compile" in subject.capabilities


def _alike(found: Any, expected: Any, dtype: str, exact: bool, case: str) -> float:
    """Equal bits where the backend promises them, else close."""
    found, expected = np.atleast_2d(found), np.atleast_2d(expected)
    if exact and dtype == "float64":
        same(found, expected, case)
        return 0.0
    return whole(found.astype("float64"), expected.astype("float64"), TOLERANCE[dtype], case)


def _random(subject: Subject, numbers: range, dtype: str) -> Evidence:
    """Random steps, call by call from the same state."""
    error, exact = 0.0, "exact_capture" in subject.capabilities
    for number in numbers:
        eager, other = RandomStep(number, subject, dtype), RandomStep(number, subject, dtype)
        step = capture(other.step)
        for call in range(CALLS):
            case = f"random step {number}, call {call}"
            wanted, found = eager.step(*eager.arguments(call)), step(*other.arguments(call))
            pairs = [(found[0], wanted[0]), (found[2], wanted[2]), *zip(found[1], wanted[1], strict=True)]
            error = max(error, *(_alike(x.numpy(), y.numpy(), dtype, exact, case) for x, y in pairs))
            for x, y in zip(other.state(), eager.state(), strict=True):
                error = max(error, _alike(x, y, dtype, exact, f"{case}, what it writes to"))
            if dtype == "float32":  # each call is compared from the same state
                for tensor, values in zip(other.tensors(), eager.state(), strict=True):
                    with no_grad():
                        tensor.assign(values)
        _one_program(step, f"random step {number}")
    return Evidence(len(numbers) * CALLS, error, TOLERANCE[dtype])


def _one_program(step: Captured, case: str) -> None:
    if len(step.programs) != 1:
        raise ConformanceError(f"{case}: {len(step.programs)} programs were made of it, it should be one")


def _states(one: Training, other: Training, dtype: str, exact: bool, case: str) -> float:
    wanted, found = one.state(), other.state()
    return max(_alike(found[name], wanted[name], dtype, exact, f"{case}: {name}") for name in wanted)


def _called(subject: Subject, network: str, optimiser: str, dtype: str, size: int) -> Evidence:
    """Calls with a batch of this size, and one with a smaller last batch. What was returned is not overwritten."""
    eager, other = (Training(subject, network, optimiser, dtype) for _ in range(2))
    step, exact, error = capture(other.step), "exact_capture" in subject.capabilities, 0.0
    seed(1)
    wanted = [eager.step(*eager.parts(rows)).numpy() for rows in batches(CALLS, size)]
    seed(1)
    held = [step(*other.parts(rows)) for rows in batches(CALLS, size)]
    case = f"{network} by {optimiser}, batches of {size}"
    for number, (found, loss) in enumerate(zip(held, wanted, strict=True)):
        error = max(error, _alike(found.numpy(), loss, dtype, exact, f"{case}: the loss of call {number}"))
    error = max(error, _states(eager, other, dtype, exact, case))
    return Evidence(CALLS, error, TOLERANCE[dtype])


def _scanned(subject: Subject, network: str, optimiser: str, dtype: str, size: int) -> Evidence:
    """Many steps in one call, each on its own rows; in parts, and in turns with single calls."""
    eager, other = (Training(subject, network, optimiser, dtype) for _ in range(2))
    step, exact, case = (
        capture(other.step),
        "exact_capture" in subject.capabilities,
        f"{network} by {optimiser}, scanned",
    )
    rows = batches(13, size)
    seed(1)
    wanted = [eager.step(*eager.parts(part)).item() for part in rows]
    seed(1)
    found: list[float] = []
    for part in np.split(rows, [1, 4, 9]):
        found += step.scan(other.x, other.labels, rows=part).numpy()[:, 0].tolist()
    found.append(step(*other.parts(rows[0])).item())
    wanted.append(eager.step(*eager.parts(rows[0])).item())
    error = _alike([found], [wanted], dtype, exact, f"the losses of {case}")
    error = max(error, _states(eager, other, dtype, exact, case))
    _one_program(step, case)
    return Evidence(len(found), error, TOLERANCE[dtype])


def _changed_outside(subject: Subject, dtype: str) -> Evidence:
    """What is assigned between two calls (a weight, a rate) is what the next call sees."""
    eager, other = (Training(subject, "relu", "momentum", dtype) for _ in range(2))
    step, exact, error = capture(other.step), "exact_capture" in subject.capabilities, 0.0
    for number, rows in enumerate(batches(8, 16)):
        for training in (eager, other):
            if number % 2:
                weight = training.model.parameters()[0]
                with no_grad():
                    weight.assign(weight.numpy() * 0.5)
                training.optimiser.learning_rate = 0.01 * (number + 1)
        loss = eager.step(*eager.parts(rows)).numpy()
        found = step(*other.parts(rows)).numpy()
        error = max(
            error, _alike(found, loss, dtype, exact, f"the loss of call {number}, a weight and the rate changed")
        )
    error = max(error, _states(eager, other, dtype, exact, "after a weight and the rate were changed"))
    _one_program(step, "a step whose weight and rate change")
    return Evidence(8, error, TOLERANCE[dtype])


def checks(subject: Subject) -> Iterator[Check]:
    """Random steps, networks called and scanned; fewer of them where compiling is costly, and those in float32."""
    costly = _costly(subject)
    for dtype in ("float32",) if costly else subject.dtypes:
        for first in range(0, GRAPHS, 50):
            numbers = range(first, first + 50, 25 if costly else 5)
            yield _check(f"random steps from {first}", dtype, partial(_random, subject, numbers, dtype))
        for size in (5, 33) if costly else BATCHES:
            run = partial(_called, subject, "normalised" if size % 2 else "relu", "adam", dtype, size)
            yield _check(f"batches of {size}", dtype, run)
        for network, optimiser in SCANNED[1:4:2] if costly else SCANNED:
            run = partial(_scanned, subject, network, optimiser, dtype, 16)
            yield _check(f"scan of {network} by {optimiser}", dtype, run)
        yield _check("changed outside", dtype, partial(_changed_outside, subject, dtype))


def _check(name: str, dtype: str, run: Any) -> Check:
    return Check("capture", f"{name} {dtype}", run, dtype=dtype)
