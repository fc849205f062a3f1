"""Every op and its gradients against the same rules on exact kernels, in float64.

A rule that is wrong itself would be so on both; so it is first held against central differences, which have no rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np

from pycrograd_core.autograd import grad
from pycrograd_core.conformance.cases import described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import whole
from pycrograd_core.conformance.oracle import Oracle
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError, GradcheckError
from pycrograd_core.numerical import gradcheck
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


def slopes_of(op: Op, count: int) -> list[int]:
    """The positions of the inputs that have a gradient."""
    floats = [position for position in range(count) if position not in op.indices]
    return [i for i in floats if op.gradients is None or op.rule(i)] if op.differentiable else []


@cache
def check_rule(op: Op) -> None:
    """Raise ConformanceError if an op's own gradient rule is wrong: that is no backend's fault."""
    for sample in op.samples:
        arrays = drawn(op, sample)
        slopes = slopes_of(op, len(arrays))
        inputs = ORACLE.tensors(op, arrays, "float64", slopes)
        try:
            if slopes:
                gradcheck(partial(op, **sample.params), inputs)
        except GradcheckError as error:
            case = f"{op.name}({described(sample)})"
            raise ConformanceError(
                f"the op's own gradient rule is wrong, on exact kernels too: {case}: {error}"
            ) from None


def evaluated(subject: Subject, op: Op, sample: Sample, dtype: str) -> tuple[Any, list[Any]]:
    """The value of an op on a sample, and the gradient of each input that has one, weighted by fixed numbers."""
    arrays = drawn(op, sample)
    slopes = slopes_of(op, len(arrays))
    with subject.use(), np.errstate(all="ignore"):
        inputs = subject.tensors(op, arrays, dtype, slopes)
        y = op(*inputs, **sample.params)
        if not slopes:
            return y.numpy(), []
        weights = np.linspace(0.5, 1.5, y.rows * y.cols).reshape(y.shape).astype("float32")
        found = grad(y, [inputs[i] for i in slopes], subject.tensor(weights, dtype), allow_unused=True)
        return y.numpy(), [each.numpy() for each in found]


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    check_rule(op)
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
