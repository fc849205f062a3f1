"""Memory does not grow over 10,000 steps."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pycrograd_core import nn, ops, optim
from pycrograd_core.autograd import no_grad
from pycrograd_core.capture.captured import capture
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.random import RandomStream, use_stream
from pycrograd_core.tensor import Tensor

STEPS, WARM = 10_000, 1_000
BYTES_A_STEP = 256  # what a process may grow by, on average, for reasons of its own: an allocator's arenas, a cache
MATRICES = 64  # that may be alive at the end, more than after the first steps
ROWS = (3, 5, 8)  # the batch differs from step to step, so that a pool by size has to give back


def resident() -> int | None:
    """The bytes of memory that this process holds on Linux, elsewhere the most that it has held; None on Windows."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def alive(subject: Subject) -> int:
    """The matrices of this backend that there are."""
    gc.collect()
    return sum(isinstance(each, subject.matrix) for each in gc.get_objects())


def _grows(subject: Subject, step: Callable[[int], Any], at_once: int = 1) -> Evidence:
    """Run a step 10,000 times. Raises ConformanceError if memory or the number of matrices grows meanwhile."""
    for number in range(0, WARM, at_once):
        step(number)
    subject.matrix.synchronize()
    matrices, before = alive(subject), resident()
    for number in range(WARM, STEPS, at_once):
        step(number)
    subject.matrix.synchronize()
    more = alive(subject) - matrices
    if more > MATRICES:
        raise ConformanceError(f"{more} more matrices are alive after {STEPS - WARM} steps")
    after = resident()
    if before is None or after is None:
        return Evidence(STEPS)  # matrices were counted; this system does not tell what a process holds
    growth = (after - before) / (STEPS - WARM)
    if growth > BYTES_A_STEP:
        raise ConformanceError(
            f"the process grows by {growth:.0f} bytes a step, {after - before} in {STEPS - WARM} steps"
        )
    return Evidence(STEPS, max(0.0, growth), BYTES_A_STEP)


class _Network:
    """A small network whose step uses every kind of kernel."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        with subject.use(), use_stream(RandomStream(4)):
            self.model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
        self.optimiser = optim.SGD(self.model.parameters(), 0.01, momentum=0.9)
        values = np.random.default_rng(6).uniform(-1, 1, (32, 16)).astype("float32")
        self.x = subject.tensor(values, "float32")
        self.labels = subject.tensor(np.arange(32) % 4, "int32")

    def rows(self, number: int) -> Any:
        """Of a batch whose size differs from step to step."""
        return np.arange(ROWS[number % len(ROWS)]) + number % 16

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """A step of training."""
        loss = nn.cross_entropy(self.model(x), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss


def _kernels(subject: Subject) -> Evidence:
    """Every kernel that moves, reduces or computes, with values from the host and back to it."""
    x = subject.tensor(np.full((16, 16), 0.5), "float32")
    rows = subject.tensor([3, 1, 3], "int32")

    def step(number: int) -> None:
        with no_grad():
            part = x[: 4 + number % 5]
            y = (part.exp().log() + part * 0.5 - part / 2.0).tanh() @ x.T
            taken = x.take_rows(rows)
            total = y.sum(axis=0).max() + taken.sum(axis=1).sum() + (y > 0.1).sum()
            x.like(ops.add_rows(x, rows, taken).argmax(axis=1).numpy().astype("float32"))
            total.item()

    return _grows(subject, step)


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


def checks(subject: Subject) -> Iterator[Check]:
    """Kernels alone, and training eagerly, captured and scanned."""
    for name, run in (("kernels", _kernels), ("eager", _eager), ("captured", _captured), ("scanned", _scanned)):
        yield Check("growth", name, partial(run, subject), dtype="float32")
