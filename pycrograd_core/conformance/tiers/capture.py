"""A captured step is the step: called, repeated, scanned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core import ops
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
from pycrograd_core.tensor import Tensor

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


def random_steps(subject: Subject, numbers: range, dtype: str) -> Evidence:
    """Random steps, call by call from the same state. What was returned is looked at after the last call."""
    error, exact = 0.0, "exact_capture" in subject.capabilities
    for number in numbers:
        held = []
        eager, other = RandomStep(number, subject, dtype), RandomStep(number, subject, dtype)
        step = capture(other.step)
        for call in range(CALLS):
            case = f"random step {number}, call {call}"
            wanted, found = eager.step(*eager.arguments(call)), step(*other.arguments(call))
            pairs = [(found[0], wanted[0]), (found[2], wanted[2]), *zip(found[1], wanted[1], strict=True)]
            held += [(x, y, case) for x, y in pairs]
            for x, y in zip(other.state(), eager.state(), strict=True):
                error = max(error, _alike(x, y, dtype, exact, f"{case}, what it writes to"))
            if dtype == "float32":  # each call is compared from the same state
                for tensor, values in zip(other.tensors(), eager.state(), strict=True):
                    with no_grad():
                        tensor.assign(values)
        error = max(error, *(_alike(x.numpy(), y.numpy(), dtype, exact, case) for x, y, case in held))
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


# Steps that write where they read. `a` and `b` are states, `x` an argument, `number` is another in each of two twins.

Results = tuple[Tensor, ...]


def _places_changed(a: Tensor, b: Tensor, x: Tensor, number: float) -> Results:
    before = a.reshape(*a.shape)
    a.assign(b)
    b.assign(before)
    return a + x, b * number


def _one_after_the_other(a: Tensor, b: Tensor, x: Tensor, number: float) -> Results:
    a.assign(b)
    b.assign(b + x * number)
    return a - x, b + x


def _old_and_new(a: Tensor, b: Tensor, x: Tensor, number: float) -> Results:
    old, sum_before = a.T.T, a.sum(axis=0)
    a.assign(a * 0.5 + x)
    return old, ops.clip(a, low=-number, high=number), sum_before, old - a


def _argument_written(a: Tensor, b: Tensor, x: Tensor, number: float) -> Results:
    before = x.reshape(*x.shape)
    x.assign(x * number + a)
    return before, before + b, x.T


def _returned_twice(a: Tensor, b: Tensor, x: Tensor, number: float) -> Results:
    y = ops.accumulate(a, x, decay=0.5, weight=number)
    b.assign(y)
    return y, y, y[: int(number)]


WRITING = (_places_changed, _one_after_the_other, _old_and_new, _argument_written, _returned_twice)


class _Twin:
    """A step with states of its own, and the number that it was written with."""

    def __init__(self, subject: Subject, dtype: str, function: Callable[..., Results], number: float) -> None:
        self.subject, self.dtype, self.function, self.number = subject, dtype, function, number
        self.states = [subject.tensor(np.arange(6.0).reshape(2, 3) * each + number, dtype) for each in (1.0, -0.5)]

    def step(self, x: Tensor) -> Results:
        return self.function(*self.states, x, self.number)

    def argument(self, call: int) -> Tensor:
        return self.subject.tensor(np.linspace(-1, 1, 6).reshape(2, 3) * (call + 1), self.dtype)


def _writes(subject: Subject, function: Callable[..., Results], dtype: str) -> Evidence:
    """Two steps that differ in a number, in turns. What was returned is looked at after the last call."""
    eager, others = ([_Twin(subject, dtype, function, number) for number in (1.0, 2.0)] for _ in range(2))
    steps, exact, error = [capture(other.step) for other in others], "exact_capture" in subject.capabilities, 0.0
    name = _name(function)
    held = []
    for call in range(CALLS):
        for one, other, step in zip(eager, others, steps, strict=True):
            case = f"{name}: call {call} of the step with {one.number:g}"
            given, taken = one.argument(call), other.argument(call)
            wanted, found = one.step(given), step(taken)
            held += [(x, y, case) for x, y in zip(found, wanted, strict=True)]
            for x, y in zip((*other.states, taken), (*one.states, given), strict=True):
                error = max(error, _alike(x.numpy(), y.numpy(), dtype, exact, f"{case}, what it writes to"))
    error = max(error, *(_alike(x.numpy(), y.numpy(), dtype, exact, case) for x, y, case in held))
    return Evidence(2 * CALLS, error, TOLERANCE[dtype])


def _owned(subject: Subject, dtype: str) -> Evidence:
    """A result belongs to whoever asked: what is written to it is seen in no state, argument or other result."""
    weight, exact = subject.tensor([[3.0, 4.0]], dtype), "exact_capture" in subject.capabilities

    @capture
    def step(x: Tensor) -> Results:
        with subject.use():
            constant = Tensor([[5.0, 6.0]], dtype=dtype)
        return weight.reshape(1, 2), x.reshape(1, 2), constant.reshape(1, 2), x * 2.0, x * 2.0, x + weight

    error = 0.0
    for call in range(CALLS):
        values = np.array([[1.0, 2.0]]) * (call + 1)
        x = subject.tensor(values, dtype)
        results, held = step(x), weight.numpy()
        expected = [held, values, np.array([[5.0, 6.0]]), values * 2, values * 2, values + held]
        for number, (result, wanted) in enumerate(zip(results, expected, strict=True)):
            case = f"result {number} of call {call}, the results before it overwritten"
            error = max(error, _alike(result.numpy(), wanted.astype(dtype), dtype, exact, case))
            with no_grad():
                result.assign(np.full((1, 2), 9.0))
        for tensor, wanted, name in ((weight, np.array([[3.0, 4.0]]), "a state"), (x, values, "an argument")):
            same(tensor.numpy(), wanted.astype(dtype), f"{name} of call {call}, whose results were overwritten")
    return Evidence(CALLS, error, TOLERANCE[dtype])


def _name(function: Callable[..., Results]) -> str:
    return function.__name__.strip("_").replace("_", " ")


def checks(subject: Subject) -> Iterator[Check]:
    """Steps that write, random steps, networks called and scanned; fewer, in float32, where compiling is costly."""
    costly = _costly(subject)
    for dtype in ("float32",) if costly else subject.dtypes:
        for function in WRITING:
            yield _check(_name(function), dtype, partial(_writes, subject, function, dtype))
        yield _check("results overwritten", dtype, partial(_owned, subject, dtype))
        for first in range(0, GRAPHS, 50):
            numbers = range(first, first + 50, 25 if costly else 5)
            yield _check(f"random steps from {first}", dtype, partial(random_steps, subject, numbers, dtype))
        for size in (5, 33) if costly else BATCHES:
            run = partial(_called, subject, "normalised" if size % 2 else "relu", "adam", dtype, size)
            yield _check(f"batches of {size}", dtype, run)
        for network, optimiser in SCANNED[1:4:2] if costly else SCANNED:
            run = partial(_scanned, subject, network, optimiser, dtype, 16)
            yield _check(f"scan of {network} by {optimiser}", dtype, run)
        yield _check("changed outside", dtype, partial(_changed_outside, subject, dtype))


def _check(name: str, dtype: str, run: Any) -> Check:
    return Check("capture", f"{name} {dtype}", run, dtype=dtype)
