"""Every op and its gradients against the same rules on exact kernels, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.autograd import grad
from pycrograd_core.conformance.cases import described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import whole
from pycrograd_core.conformance.oracle import Oracle
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.op import Op
from pycrograd_core.ops import TABLE
from pycrograd_core.ops.samples import Sample

SLOPE = 10  # how many times an op's tolerance its gradient may be off
EXACT = 1e-12  # what an op may be off in float64
SIZES = ((5, 8, 3), (17, 33, 9))
ORACLE = Subject(Oracle)


def tolerance(op: Op, dtype: str) -> float:
    """What the value of an op may be off, relative to the greatest element or to 1."""
    return op.tolerance if dtype == "float32" else EXACT


def evaluated(subject: Subject, op: Op, sample: Sample, dtype: str) -> tuple[Any, list[Any]]:
    """The value of an op on a sample, and the gradient of each input that has one, weighted by fixed numbers."""
    arrays = drawn(op, sample)
    floats = [position for position in range(len(arrays)) if position not in op.indices]
    slopes = [i for i in floats if op.gradients is None or op.rule(i)] if op.differentiable else []
    with subject.use(), np.errstate(all="ignore"):
        inputs = subject.tensors(op, arrays, dtype, slopes)
        y = op(*inputs, **sample.params)
        if not slopes:
            return y.numpy(), []
        weights = np.linspace(0.5, 1.5, y.rows * y.cols).reshape(y.shape).astype("float32")
        found = grad(y, [inputs[i] for i in slopes], subject.tensor(weights, dtype), allow_unused=True)
        return y.numpy(), [each.numpy() for each in found]


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    error, count, limit = 0.0, 0, tolerance(op, dtype)
    for sample in (*op.samples, *(each for extents in SIZES for each in resized(op, extents))):
        case = f"{op.name}({described(sample)})"
        value, gradients = evaluated(subject, op, sample, dtype)
        exact, slopes = evaluated(ORACLE, op, sample, "float64")
        error = max(error, whole(value, exact, limit, case))
        for position, (found, expected) in enumerate(zip(gradients, slopes, strict=True)):
            off = whole(found, expected, SLOPE * limit, f"gradient {position} of {case}")
            error = max(error, off / SLOPE)
        count += 1
    return Evidence(count, error, limit)


def checks(subject: Subject) -> Iterator[Check]:
    """One for each op of the table, those of plugins too, in each dtype."""
    for op in TABLE.values():
        for dtype in subject.dtypes:
            yield Check("gradients", f"{op.name} {dtype}", partial(_op, subject, op, dtype), op=op.name, dtype=dtype)
