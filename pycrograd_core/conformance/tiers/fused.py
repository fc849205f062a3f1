"""Whatever the backend overrides equals its decomposition."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from pycrograd_core.conformance.cases import EXTENTS, described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import same, whole
from pycrograd_core.conformance.oracle import Oracle
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op
from pycrograd_core.ops.samples import Sample

from .gradients import tolerance
from .values import edges

LARGE = (259, 257)  # more elements than fit into the blocks that kernels work on
ORACLE = Subject(Oracle)


def _samples(op: Op) -> Iterator[Sample]:
    yield from op.samples
    for extents in (*EXTENTS, *([LARGE] if op.elementwise else [])):
        yield from resized(op, extents)


def _computed(kernel: Any, inputs: list[Matrix], sample: Sample, **out: Any) -> Matrix:
    with np.errstate(all="ignore"):
        found: Matrix = kernel(*inputs, **sample.params, **out)
    return found


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    """The kernel beside the decomposition on the same backend, and beside that on exact kernels in float64."""
    assert op.decomposition is not None
    error, count, limit = 0.0, 0, tolerance(op, dtype)
    kernel = subject.matrix.kernels[op]
    for sample in _samples(op):
        arrays, case = drawn(op, sample), f"{op.name}({described(sample)})"
        inputs = subject.matrices(op, arrays, dtype)
        exact = ORACLE.host(op.decomposition(*ORACLE.matrices(op, arrays, "float64"), **sample.params))
        found = _computed(kernel, inputs, sample)
        _like(subject, op, found, inputs, sample, case)
        error = max(error, whole(subject.host(found), exact, limit, case))
        decomposed = subject.host(_computed(op.decomposition, inputs, sample))
        whole(subject.host(found), decomposed.astype("float64"), 2 * limit, f"{case}, beside its decomposition")
        _unchanged(subject, inputs, arrays, case, ())
        count += 1
    return Evidence(count, error, limit)


def _like(subject: Subject, op: Op, found: Matrix, inputs: list[Matrix], sample: Sample, case: str) -> None:
    expected = op.dtype_of(inputs, sample.params)
    if type(found) is not subject.matrix or found.dtype != expected:
        raise ConformanceError(f"{case}: returned a {type(found).__name__} of {found.dtype}, it should be {expected}")


def _unchanged(subject: Subject, inputs: list[Matrix], arrays: list[Any], case: str, targets: tuple[int, ...]) -> None:
    for position, (x, array) in enumerate(zip(inputs, arrays, strict=True)):
        if position not in targets:
            same(subject.host(x), array.astype(x.dtype), f"{case}: input {position}, after")


def _out(subject: Subject, op: Op, dtype: str) -> Evidence:
    """With `out`, which may be a matrix of its own or an operand of the result's shape."""
    assert op.decomposition is not None
    kernel, count = subject.matrix.kernels[op], 0
    for sample in (*op.samples, *resized(op, (33, 17)), *resized(op, (130, 259))):
        arrays = drawn(op, sample)
        expected = ORACLE.host(op.decomposition(*ORACLE.matrices(op, arrays, "float64"), **sample.params))
        own = [i for i, x in enumerate(arrays) if i not in op.indices and x.shape == expected.shape]
        for target in (None, *own):
            inputs = subject.matrices(op, arrays, dtype)
            written = subject.tensor(np.full(expected.shape, np.nan), dtype).value if target is None else inputs[target]
            if written.dtype != op.dtype_of(inputs, sample.params):
                continue
            case = f"{op.name}({described(sample)}) with {'out' if target is None else f'input {target} as out'}"
            found = _computed(kernel, inputs, sample, out=written)
            whole(subject.host(found), expected, tolerance(op, dtype), case)
            _unchanged(subject, inputs, arrays, case, () if target is None else (target,))
            count += 1
    return Evidence(count)


def _special(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Where the decomposition gives nan or an infinity, so does the kernel, and nowhere else."""
    assert op.decomposition is not None
    sample = op.samples[0]
    values = edges(dtype)
    columns = [np.array([c]) for c in zip(*product(values, repeat=len(sample.inputs)), strict=True)]
    inputs = subject.matrices(op, columns, dtype)
    found = subject.host(_computed(subject.matrix.kernels[op], inputs, sample))
    expected = subject.host(_computed(op.decomposition, inputs, sample))
    apart = (np.isnan(found) != np.isnan(expected)) | (np.isinf(found) != np.isinf(expected))
    apart |= np.isinf(expected) & (found != expected) & ~np.isnan(found)
    if apart.any():
        at = int(np.argwhere(apart)[0][1])
        raise ConformanceError(
            f"{op.name}({', '.join(f'{x[0, at]:.9g}' for x in columns)}) is {found[0, at]!s}; its decomposition gives "
            f"{expected[0, at]!s}; {int(apart.sum())} of {apart.size} such differ"
        )
    return Evidence(apart.size)


def checks(subject: Subject) -> Iterator[Check]:
    """For each op that the backend overrides: samples and sizes, `out`, and special values where it goes by element."""
    for op in subject.overrides:
        for dtype in subject.dtypes:
            fields = {"op": op.name, "dtype": dtype}
            yield Check("fused", f"{op.name} {dtype}", partial(_op, subject, op, dtype), **fields)
            if subject.takes_out(op):
                yield Check("fused", f"{op.name} out {dtype}", partial(_out, subject, op, dtype), **fields)
            if op.elementwise and len(op.samples[0].inputs) <= 2:
                yield Check("fused", f"{op.name} special {dtype}", partial(_special, subject, op, dtype), **fields)
