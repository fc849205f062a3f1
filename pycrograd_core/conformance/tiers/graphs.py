"""Random graphs and their gradients against a naive oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.graphs import GRAPHS, Entry, graph
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops import TABLE
from pycrograd_core.tensor import Tensor

AT_A_TIME = 25
TOLERANCE = {"float32": 2e-5, "float64": 1e-9}  # of a graph's greatest gradient; honest ones keep 5e-7 and 2e-11


def computed(subject: Subject, entries: Sequence[Entry], dtype: str) -> tuple[float, list[Any]]:
    """The result of a graph on a backend, and the gradient of each leaf."""
    tensors: list[Tensor] = []
    leaves: list[Tensor] = []
    with subject.use():
        for entry in entries:
            if entry.op:
                tensors.append(TABLE[entry.op](*[tensors[i] for i in entry.inputs], **entry.params))
                continue
            kind = INDEX_DTYPE if entry.value.dtype == np.int32 else dtype
            tensors.append(subject.tensor(entry.value, kind, entry.requires_grad))
            if entry.requires_grad:
                leaves.append(tensors[-1])
        tensors[-1].backward()
    gradients = [np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]
    return tensors[-1].item(), gradients


def _graphs(subject: Subject, dtype: str, numbers: range) -> Evidence:
    error, limit = 0.0, TOLERANCE[dtype]
    for number in numbers:
        entries, expected, oracle = graph(number)
        result, gradients = computed(subject, entries, dtype)
        off = [abs(result - expected) / max(1.0, abs(expected))]
        scale = max(float(np.abs(gradient).max()) for gradient in oracle) or 1.0
        off += [float(np.abs(x - y).max()) / scale for x, y in zip(gradients, oracle, strict=True)]
        if not max(off) <= limit:
            ops = ", ".join(entry.op for entry in entries if entry.op)
            raise ConformanceError(
                f"graph {number} ({ops}): the result is {result:.9g}, it should be {expected:.9g}; the result and its "
                f"gradients are off by {', '.join(f'{each:.1e}' for each in off)}, above {limit:.0e}"
            )
        error = max(error, *off)
    return Evidence(len(numbers), error, limit)


def checks(subject: Subject) -> Iterator[Check]:
    """The graphs, some at a time, in each dtype."""
    for dtype in subject.dtypes:
        for first in range(0, GRAPHS, AT_A_TIME):
            numbers = range(first, first + AT_A_TIME)
            run = partial(_graphs, subject, dtype, numbers)
            yield Check("graphs", f"{numbers[0]} to {numbers[-1]} {dtype}", run, dtype=dtype)
