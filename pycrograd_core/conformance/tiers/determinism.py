"""Equal inputs give equal bits, where the backend says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from pycrograd_core.capture.captured import capture
from pycrograd_core.conformance.cases import MANY, described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import same
from pycrograd_core.conformance.networks import Training, batches
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.op import Op
from pycrograd_core.random import seed

CAPABILITY = "deterministic"
TIMES = 4
LARGE = ((17, 2051, 33), (*MANY[0], 3))  # so much that a parallel kernel divides it


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    """The same bits each time, from matrices that are made anew."""
    samples = [*op.samples, *(each for extents in LARGE for each in resized(op, extents))]
    for sample in samples:
        arrays, case = drawn(op, sample), f"{op.name}({described(sample)}), once more"
        found = []
        for _ in range(TIMES):
            with np.errstate(all="ignore"):
                inputs = subject.matrices(op, arrays, dtype)
                found.append(subject.host(subject.matrix.kernels[op](*inputs, **sample.params)))
        for again in found[1:]:
            same(again, found[0], case)
    return Evidence(len(samples) * TIMES)


def _training(subject: Subject, captured: bool) -> Evidence:
    """Two trainings from the same seed end with the same bits."""
    runs = []
    for _ in range(2):
        training = Training(subject, "normalised", "adam", "float32")
        step = capture(training.step) if captured else training.step
        seed(2)
        losses = [step(*training.parts(rows)).item() for rows in batches(10, 33)]
        runs.append({"losses": np.array([losses])} | training.state())
    for name, values in runs[0].items():
        same(np.atleast_2d(runs[1][name]), np.atleast_2d(values), f"{name}, trained once more")
    return Evidence(2)


def checks(subject: Subject) -> Iterator[Check]:
    """Each op that has a kernel, and a training, eagerly and captured."""
    for op in (*subject.kernels, *subject.overrides):
        for dtype in subject.dtypes:
            run = partial(_op, subject, op, dtype)
            yield Check("determinism", f"{op.name} {dtype}", run, op=op.name, dtype=dtype, needs=CAPABILITY)
    for way in ("eager", "captured"):
        yield Check("determinism", f"training {way}", partial(_training, subject, way == "captured"), needs=CAPABILITY)
