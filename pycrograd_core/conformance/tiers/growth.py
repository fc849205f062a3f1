"""Memory does not grow over 10,000 steps."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core import nn, optim
from pycrograd_core.capture.captured import capture
from pycrograd_core.conformance.cases import drawn
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.conformance.usage import used
from pycrograd_core.errors import ConformanceError
from pycrograd_core.op import Op
from pycrograd_core.random import RandomStream, use_stream
from pycrograd_core.tensor import Tensor

STEPS, WINDOW = 10_000, 1_000  # the first steps warm up; after each window is measured
PROCESS, MALLOC, OBJECTS = "the process, in bytes", "malloc, in bytes", "Python's objects"
STEADY = {  # what may grow with each step in half of the windows: what leaks does so all the time, a cache does not
    PROCESS: 64.0,
    MALLOC: 8.0,
    OBJECTS: 0.1,
}
BYTES_A_STEP = 256  # that the process may grow by on average, whenever it does
MATRICES = 64  # that may be alive at the end, more than after the first steps
DROPPED = 10  # captured steps
ANEW = 20  # steps with the same operands
SAME = 50  # steps with the same number of rows
ROWS = (3, 5, 8)  # the batch differs from time to time, so that a pool by size has to give back


def alive(subject: Subject) -> int:
    """The matrices of this backend that there are."""
    return sum(isinstance(each, subject.matrix) for each in gc.get_objects())


def _grows(subject: Subject, step: Callable[[int], Any], at_once: int = 1) -> Evidence:
    """Run a step 10,000 times. Raises ConformanceError if memory or the number of matrices grows meanwhile."""
    uses: list[dict[str, int]] = []
    matrices = 0
    for number in range(0, STEPS, at_once):
        step(number)
        if (number + at_once) % WINDOW == 0:
            subject.matrix.synchronize()
            gc.collect()
            matrices = matrices or alive(subject)
            uses.append(used())
    more = alive(subject) - matrices
    if more > MATRICES:
        raise ConformanceError(f"{more} more matrices are alive after {STEPS - WINDOW} steps")
    strain = 0.0
    for name in uses[0]:
        growth = np.diff([use[name] for use in uses]) / WINDOW
        strain = max(strain, float(np.median(growth)) / STEADY[name])
        if np.median(growth) > STEADY[name] or (name == PROCESS and growth.mean() > BYTES_A_STEP):
            raise ConformanceError(
                f"{name}: {growth.mean():.3g} more with each step; {STEPS - WINDOW} steps, {WINDOW} at a time, brought "
                f"{', '.join(f'{each:.0f}' for each in growth * WINDOW)}"
            )
    return Evidence(STEPS, strain, 1.0)


class _Network:
    """A small network, and a step of its training."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        with subject.use(), use_stream(RandomStream(4)):
            self.model = nn.Sequential(nn.Linear(16, 4), nn.ReLU())
        self.optimiser = optim.SGD(self.model.parameters(), 0.01, momentum=0.9)
        values = np.random.default_rng(6).uniform(-1, 1, (32, 16)).astype("float32")
        self.x = subject.tensor(values, "float32")
        self.labels = subject.tensor(np.arange(32) % 4, "int32")

    def rows(self, number: int) -> Any:
        """Of a batch whose size differs from time to time."""
        return np.arange(ROWS[number // SAME % len(ROWS)]) + number % 16

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """A step of training."""
        loss = nn.cross_entropy(self.model(x), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss


def _kernels(subject: Subject) -> Evidence:
    """Every kernel, in each dtype, with `out` half of the time, and the ways to the host and back."""
    matrix, ops = subject.matrix, (*subject.kernels, *subject.overrides)
    calls: list[Callable[[], Any]] = []

    def step(number: int) -> None:
        if number % ANEW == 0:  # operands are others from time to time
            turn = number // ANEW
            dtype = subject.dtypes[turn // 2 % len(subject.dtypes)]
            calls[:] = [_call(subject, op, dtype, bool(turn % 2)) for op in ops]
        for call in calls:
            call()
        x = matrix.full(2, 3, float(number), "float32")
        x.assign(matrix.from_host(memoryview(x.to_host()), 2, 3, "float32"))

    with np.errstate(all="ignore"):
        return _grows(subject, step)


def _call(subject: Subject, op: Op, dtype: str, takes_out: bool) -> Callable[[], Any]:
    sample = op.samples[0]
    inputs, kernel = subject.matrices(op, drawn(op, sample), dtype), subject.matrix.kernels[op]
    result = kernel(*inputs, **sample.params)
    out = {"out": result} if takes_out and subject.takes_out(op) else {}
    return partial(kernel, *inputs, **sample.params, **out)


def _eager(subject: Subject) -> Evidence:
    network = _Network(subject)

    def step(number: int) -> None:
        rows = network.rows(number)
        network.step(network.x.take_rows(rows), network.labels.take_rows(rows))

    return _grows(subject, step)


def _captured(subject: Subject) -> Evidence:
    network = _Network(subject)
    captured = capture(network.step)

    def step(number: int) -> None:
        rows = network.rows(number)
        captured(network.x.take_rows(rows), network.labels.take_rows(rows)).item()

    return _grows(subject, step)


def _scanned(subject: Subject) -> Evidence:
    network = _Network(subject)
    captured, at_once = capture(network.step), 25
    rows = np.random.default_rng(1).integers(0, 32, (at_once, 8))
    return _grows(subject, lambda number: captured.scan(network.x, network.labels, rows=rows).numpy(), at_once)


def _dropped(subject: Subject) -> Evidence:
    """A captured step that nobody has any more leaves no matrix behind."""

    def alive_after(steps: int) -> int:
        for _ in range(steps):
            network = _Network(subject)
            captured = capture(network.step)
            for number in range(3):
                rows = network.rows(number)
                captured(network.x.take_rows(rows), network.labels.take_rows(rows)).item()
            del network, captured
        subject.matrix.synchronize()
        gc.collect()
        return alive(subject)

    more = -alive_after(DROPPED) + alive_after(DROPPED)
    if more >= DROPPED:
        raise ConformanceError(f"{more} more matrices are alive after {DROPPED} captured steps were made and dropped")
    return Evidence(DROPPED)


def checks(subject: Subject) -> Iterator[Check]:
    """Kernels alone, training eagerly, captured and scanned, and captured steps that come and go."""
    for name, run in (("kernels", _kernels), ("eager", _eager), ("captured", _captured), ("scanned", _scanned)):
        yield Check("growth", name, partial(run, subject), dtype="float32")
    yield Check("growth", "dropped", partial(_dropped, subject), dtype="float32")
