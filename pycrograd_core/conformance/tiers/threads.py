"""Threads that work at the same time do not disturb each other."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import pycrograd_core
from pycrograd_core import ops
from pycrograd_core.capture.captured import capture
from pycrograd_core.conformance.cases import described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import same, whole
from pycrograd_core.conformance.networks import Training, batches
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.op import Op
from pycrograd_core.ops.samples import Sample
from pycrograd_core.tensor import Tensor

THREADS, TIMES, FEW = 4, 40, 5
SWITCH = 1e-6  # seconds that a thread has before another may have its turn
PAUSE, PAUSES = 1e-6, 8  # the seconds of a pause, and how many a call has on average
CORE = str(Path(pycrograd_core.__file__).parent)


def _together(work: Callable[[int], None], about: str) -> None:
    """Do the work of every number in a thread of its own, all at the same time. Raises what one of them raised."""
    start, failures = threading.Barrier(THREADS), []

    def run(number: int) -> None:
        try:
            start.wait()
            work(number)
        except BaseException as failure:  # noqa: BLE001  raised below, in the thread that asked
            failure.add_note(f"{about}, thread {number}")
            failures.append(failure)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    if failures:
        raise failures[0]


class _Pauses:
    """A trace function with which threads take turns in the middle of a call, between any two lines of a backend.

    Of all lines it pauses before a share, by chance: a thread that need not pause is done before another begins.
    """

    def __init__(self, share: float, number: int) -> None:
        self.share, self.lines, self.chance = share, 0, random.Random(number)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> _Pauses | None:
        if frame.f_code.co_filename.startswith(CORE):
            return None
        if event == "line":
            self.lines += 1
            if self.chance.random() < self.share:
                time.sleep(PAUSE)
        return self

    def __enter__(self) -> _Pauses:
        self.before = sys.gettrace()
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    """One kernel in all threads at a time, each with operands of its own: as fast as it goes, then with pauses."""
    _many(subject, op, dtype, next(resized(op, (33, 17)), op.samples[0]), TIMES, 0)
    _many(subject, op, dtype, next(resized(op, (9, 7)), op.samples[0]), FEW, PAUSES)
    return Evidence(THREADS * (TIMES + FEW))


def _many(subject: Subject, op: Op, dtype: str, sample: Sample, times: int, pauses: int) -> None:
    kernel, case = subject.matrix.kernels[op], f"{op.name}({described(sample)})"
    inputs = [subject.matrices(op, drawn(op, sample, number), dtype) for number in range(THREADS)]
    with np.errstate(all="ignore"), _Pauses(0.0, 0) as alone:
        expected = [subject.host(kernel(*each, **sample.params)) for each in inputs]
    share = pauses * THREADS / max(1, alone.lines)

    def work(number: int) -> None:
        with np.errstate(all="ignore"), _Pauses(share, number) if share else nullcontext():  # of this thread
            for _ in range(times):
                found = subject.host(kernel(*inputs[number], **sample.params))
                _alike(subject, found, expected[number], f"{case}, thread {number}")

    _together(work, case)


def _alike(subject: Subject, found: Any, expected: Any, case: str) -> None:
    if "deterministic" in subject.capabilities:
        same(found, expected, case)
    else:
        whole(found.astype("float64"), expected.astype("float64"), 1e-5, case)


def _chain(x: Tensor, shared: Tensor) -> list[Tensor]:
    """Every kind of kernel, one after the other."""
    y = (x @ shared).tanh() + x.exp() * 0.25
    rows = y.argmax(axis=1)
    z = ops.add_rows(y.take_rows(rows), rows, x)  # of square matrices
    return [y, z.sum(axis=0), y.max(axis=1), (y - y.mean()).relu(), y.softmax(), y.T.reshape(1, y.rows * y.cols)]


def _kernels(subject: Subject, size: int, dtype: str) -> Evidence:
    """The same ops on data of each thread's own and on a matrix that all of them read."""
    numbers = np.random.default_rng(size)
    inputs = [subject.tensor(numbers.uniform(-1, 1, (size, size)).astype("float32"), dtype) for _ in range(THREADS)]
    shared = subject.tensor(numbers.uniform(-1, 1, (size, size)).astype("float32"), dtype)
    expected = [[y.numpy() for y in _chain(x, shared)] for x in inputs]

    def work(number: int) -> None:
        for _ in range(TIMES):
            for place, (found, wanted) in enumerate(zip(_chain(inputs[number], shared), expected[number], strict=True)):
                _alike(subject, found.numpy(), wanted, f"result {place} of thread {number}, {size}×{size}")

    with subject.use():
        _together(work, f"kernels on {size}×{size}")
    return Evidence(THREADS * TIMES)


def _host(subject: Subject) -> Evidence:
    """What each thread puts onto the device is what it gets back."""

    def work(number: int) -> None:
        for turn in range(TIMES * 5):
            values: Any = np.full((5, 7), number * 1000.0 + turn, "float32")
            x = subject.tensor(values, "float32")
            x.value.assign(subject.tensor(values + 1, "float32").value)
            same(x.numpy(), values + 1, f"what thread {number} put there")

    _together(work, "to the host and back")
    return Evidence(THREADS * TIMES * 5)


def _gradients(subject: Subject) -> Evidence:
    """Threads that share a parameter lose no gradient."""
    w = subject.tensor([[1.0]], "float32", requires_grad=True)

    def work(number: int) -> None:
        for _ in range(TIMES * 2):
            (w * 1.0).backward()

    _together(work, "gradients")
    wanted = THREADS * TIMES * 2.0
    if w.grad is None or w.grad.item() != wanted:
        raise ConformanceError(f"{wanted:.0f} gradients of 1 came to {w.grad.item() if w.grad else 'nothing'}")
    return Evidence(THREADS * TIMES * 2)


def _captured(subject: Subject) -> Evidence:
    """Each thread trains a network of its own, captured."""
    rows = batches(12, 16)

    def train(training: Training, step: Callable[..., Any]) -> Any:
        return np.array([[step(*training.parts(part)).item() for part in rows]])

    network, optimiser = "relu", "momentum"
    alone = Training(subject, network, optimiser, "float32")
    expected = train(alone, capture(alone.step))
    trainings = [Training(subject, network, optimiser, "float32") for _ in range(THREADS)]

    def work(number: int) -> None:
        found = train(trainings[number], capture(trainings[number].step))
        whole(found, expected, 1e-5, f"the losses of thread {number}")

    with subject.use():
        _together(work, "captured steps")
    return Evidence(THREADS * len(rows))


def checks(subject: Subject) -> Iterator[Check]:
    """Each kernel, all kinds of kernels one after the other, the way to the host, gradients, captured steps."""
    for dtype in subject.dtypes:
        for op in (*subject.kernels, *subject.overrides):
            run = partial(_op, subject, op, dtype)
            yield Check("threads", f"{op.name} {dtype}", run, op=op.name, dtype=dtype)
        for size in (3, 8, 33):
            run = partial(_kernels, subject, size, dtype)
            yield Check("threads", f"kernels {size}×{size} {dtype}", run, dtype=dtype)
    yield Check("threads", "host", partial(_host, subject))
    yield Check("threads", "gradients", partial(_gradients, subject))
    yield Check("threads", "captured", partial(_captured, subject))
