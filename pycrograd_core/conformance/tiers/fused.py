"""Whatever the backend overrides equals its decomposition."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import partial
from itertools import product
from math import inf, nan
from typing import Any

import numpy as np

from pycrograd_core.conformance import memory
from pycrograd_core.conformance.calls import called
from pycrograd_core.conformance.cases import (
    EXTENTS,
    MANY,
    NONE,
    WIDE,
    Case,
    broadcasting,
    case,
    repeating,
    resized,
    samples,
)
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import element_errors, same, whole, worst
from pycrograd_core.conformance.oracle import Oracle
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op
from pycrograd_core.ops.samples import Choice, Sample, Uniform

from .gradients import tolerance
from .values import edges

ORACLE = Subject(Oracle)
FACTOR = 2**17  # of numbers that are far from those of samples


def _cases(op: Op, dtype: str) -> Iterator[Case]:
    """All inputs that an override is tried on. One that asks for a dtype is asked for this one."""
    large = () if op.indices else (*WIDE, (*MANY[0], 3))  # a decomposition makes rows of indices, as wide as indices go
    sizes = (each for extents in (*EXTENTS, *NONE, *large) for each in resized(op, extents))
    asked = {"dtype": dtype} if "dtype" in inspect.signature(op.decomposition or op).parameters else {}
    for sample in (*samples(op), *sizes, *broadcasting(op)):
        each = case(op, sample)
        yield Case(each.text, each.arrays, {**each.params, **asked})
    yield from repeating(op)
    yield from _far(op)
    for sample in samples(op):
        each = case(op, sample)
        far = [x * FACTOR if type(given) is Uniform else x for given, x in zip(sample.inputs, each.arrays, strict=True)]
        yield Case(f"{each.text}, times {FACTOR}", far, {**each.params, **asked})
    for sample in (*samples(op), *resized(op, (40, 5)), *resized(op, (5, 40))):
        each = case(op, sample)
        whole_numbers = [np.round(x) for x in each.arrays]  # of which many are equal
        yield Case(f"{each.text}, whole numbers", whole_numbers, {**each.params, **asked})


def _far(op: Op) -> Iterator[Case]:
    """Rows far from 0, and of one number, of which only differences matter. Their mean is exact, so nothing is lost."""
    if op.name == "layer_norm":
        x = 2048 + np.random.default_rng(15).integers(-8, 9, (5, 64)).astype("float64")
        x[-1] = 2049.0
        yield Case("5×64 around 2048", [x, np.ones((1, 64)), np.zeros((1, 64))], {"epsilon": 1e-5})


def _decomposed(op: Op, inputs: list[Matrix], each: Case) -> Matrix:
    assert op.decomposition is not None
    with np.errstate(all="ignore"):
        found: Matrix = op.decomposition(*inputs, **each.params)
    return found


def _exact(op: Op, each: Case) -> Any:
    """What the decomposition gives on exact kernels."""
    return ORACLE.host(_decomposed(op, ORACLE.matrices(op, each.arrays, "float64"), each))


def _op(subject: Subject, op: Op, dtype: str) -> Evidence:
    """The kernel beside the decomposition on the same backend, and beside that on exact kernels in float64."""
    error, count, limit = 0.0, 0, tolerance(op, dtype)
    for each in _cases(op, dtype):
        text, exact = f"{op.name}({each.text})", _exact(op, each)
        if not np.isfinite(exact).all():
            continue  # whole numbers may be zeros, which some op divides by
        inputs = subject.matrices(op, each.arrays, dtype)
        found = called(subject, op, inputs, each.params, text)
        values = subject.host(found, text)
        error = max(error, whole(values, exact, limit, text))
        decomposed = subject.host(_decomposed(op, inputs, each))
        whole(values, decomposed.astype("float64"), 2 * limit, f"{text}, beside its decomposition")
        _unchanged(subject, inputs, each, text, None)
        count += 1
    return Evidence(count, error, limit)


def _unchanged(subject: Subject, inputs: list[Matrix], each: Case, text: str, target: int | None) -> None:
    for position, (x, array) in enumerate(zip(inputs, each.arrays, strict=True)):
        if position != target:
            same(subject.host(x), array.astype(x.dtype), f"input {position} of {text}, after the call")


def _out(subject: Subject, op: Op, dtype: str) -> Evidence:
    """With `out`, which was read before, and may be a matrix of its own or an operand of the result's shape."""
    count, limit = 0, tolerance(op, dtype)
    for sample in (*samples(op), *resized(op, (33, 17)), *[*resized(op, (130, 259))][:1]):
        each = case(op, sample)
        expected = _exact(op, each)
        own = [i for i, x in enumerate(each.arrays) if i not in op.indices and x.shape == expected.shape]
        for target in (None, *own):
            inputs = subject.matrices(op, each.arrays, dtype)
            if dtype != op.dtype_of(inputs, each.params):
                continue
            out = subject.tensor(np.full(expected.shape, np.nan), dtype).value if target is None else inputs[target]
            subject.host(out)
            text = f"{op.name}({each.text}) with {'out' if target is None else f'input {target} as out'}"
            whole(subject.host(called(subject, op, inputs, each.params, text, out=out)), expected, limit, text)
            _unchanged(subject, inputs, each, text, target)
            count += 1
    return Evidence(count)


def _special(subject: Subject, op: Op, dtype: str) -> Evidence:
    """What the decomposition gives at the edges of the dtype, nan and infinities too, the kernel gives as well.

    An error is relative to the greater of the result and the operands, since sums of theirs cancel. Not at denormals: a
    device may take them for zeros in one, and not in the other.
    """
    sample = op.samples[0]
    values = [given.values if isinstance(given, Choice) else edges(dtype) for given in sample.inputs]
    columns = [np.array([column]) for column in zip(*product(*values), strict=True)]
    inputs, each = subject.matrices(op, columns, dtype), Case("special values", columns, sample.params)
    found = subject.host(called(subject, op, inputs, sample.params, op.name))
    expected = subject.host(_decomposed(op, inputs, each)).astype("float64")
    errors = element_errors(found, expected, dtype, np.fmax.reduce(np.abs([expected, *columns])))
    limit = 2 * tolerance(op, dtype)
    wrong = np.argwhere(~(errors <= limit))
    if len(wrong):
        at = int(wrong[0][1])
        raise ConformanceError(
            f"{op.name}({', '.join(f'{x[0, at]:.9g}' for x in columns)}) is {found[0, at]!s}; its decomposition gives "
            f"{expected[0, at]!s}; {len(wrong)} of {errors.size} such differ"
        )
    return Evidence(errors.size, float(errors.max()), limit)


def _lets_through(subject: Subject, op: Op, dtype: str) -> Evidence:
    """A nan or an infinity comes out where it does of the decomposition on exact kernels, and reaches nothing else."""
    count, limit = 0, tolerance(op, dtype)
    for sample in samples(op):
        for each in _with_one(op, sample):
            inputs, text = subject.matrices(op, each.arrays, dtype), f"{op.name}({each.text})"
            if op.dtype_of(inputs, each.params) != dtype:
                continue
            found, expected = subject.host(called(subject, op, inputs, each.params, text)), _exact(op, each)
            scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0.0)))
            worst(found, expected, dtype, limit, text, scale)
            count += 1
    return Evidence(count)


def _with_one(op: Op, sample: Sample) -> Iterator[Case]:
    """A sample with a nan or an infinity in one place: in each of the first row of each operand, and in the last."""
    each = case(op, sample)
    for position, given in enumerate(sample.inputs):
        x = each.arrays[position]
        places = ((-1, -1), *((0, col) for col in range(x.shape[1]))) if type(given) is Uniform else ()
        for (row, col), value in product(places, (nan, inf, -inf)):
            changed = x.copy()
            changed[row, col] = value
            arrays = [*each.arrays[:position], changed, *each.arrays[position + 1 :]]
            yield Case(f"{each.text}, {value:g} at [{row}, {col}] of input {position}", arrays, each.params)


def checks(subject: Subject) -> Iterator[Check]:
    """For each overridden op: samples and sizes, `out`, memory, special values, a nan or an infinity among others."""
    for op in subject.overrides:
        for dtype in subject.dtypes:
            fields = {"op": op.name, "dtype": dtype}
            yield Check("fused", f"{op.name} {dtype}", partial(_op, subject, op, dtype), **fields)
            if subject.takes_out(op):
                yield Check("fused", f"{op.name} out {dtype}", partial(_out, subject, op, dtype), **fields)
            for name, run in memory.CHECKS.items():
                yield Check("fused", f"{op.name} {name} {dtype}", partial(run, subject, op, dtype), **fields)
            if op.elementwise and len(op.samples[0].inputs) <= 2:
                yield Check("fused", f"{op.name} special {dtype}", partial(_special, subject, op, dtype), **fields)
            yield Check(
                "fused", f"{op.name} lets through {dtype}", partial(_lets_through, subject, op, dtype), **fields
            )
