"""Infinities, nan, signed zeros, denormals, huge and tiny numbers: what IEEE 754 says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from math import inf, log, nan
from typing import Any

import numpy as np

from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import element_errors, same, whole, worst
from pycrograd_core.conformance.reference import REFERENCE
from pycrograd_core.conformance.specials import BEYOND, BINARY, EITHER_ZERO, LINES, UNARY
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import Op
from pycrograd_core.ops import TABLE

from .kernels import tolerance

CROSSED = (
    "exp",
    "log",
    "sqrt",
    "tanh",
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "maximum",
    "greater",
    "where",
)
MOVED = ("transpose", "reshape", "slice", "concat", "take_rows")


def _evaluations(
    subject: Subject, op: Op, arrays: Sequence[Any], dtype: str, **params: Any
) -> Iterator[tuple[str, Matrix]]:
    """The values of an op by its kernel and, where it has one, by its decomposition."""
    inputs = subject.matrices(op, arrays, dtype)
    with np.errstate(all="ignore"):  # as for all kernels
        yield "", subject.matrix.kernels[op](*inputs, **params)
        if op.decomposition is not None:
            yield ", decomposed", op.decomposition(*inputs, **params)


def _listed(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Line by line what the tables say."""
    limits = np.finfo(dtype)
    lines = list((UNARY | BINARY).get(op.name, ()))
    if op.name in BEYOND:
        lines += BEYOND[op.name](float(limits.max), float(limits.tiny))
    *columns, expected = (np.array([column]) for column in zip(*lines, strict=True))
    for way, result in _evaluations(subject, op, columns, dtype):
        found = subject.host(result)
        for position, line in enumerate(lines):
            case = f"{op.name}({', '.join(f'{x:.9g}' for x in line[:-1])}){way}"
            _one(found[0, position], expected[0, position], case, op.name in EITHER_ZERO)
    return Evidence(len(lines))


def _one(found: Any, expected: Any, case: str, either_zero: bool) -> None:
    """Two numbers are the same, up to which nan a nan is and, if need be, the sign of a zero."""
    if np.isnan(expected):
        right = bool(np.isnan(found))
    else:
        right = bool(found == expected) and (either_zero or np.signbit(found) == np.signbit(expected))
    if not right:
        raise ConformanceError(f"{case} is {found!s}, it should be {expected!s}")


def edges(dtype: str) -> list[float]:
    """Numbers at the edges of what a dtype can hold."""
    limits = np.finfo(dtype)
    positive = [
        0.0,
        1.0,
        0.5,
        2.0,
        3.0,
        7.5,
        100.0,
        700.0,
        1.0 + float(limits.eps),
        float(limits.max),
        float(limits.tiny),
        float(limits.eps),
        1e30,
        1e-30,
        inf,
    ]
    return [*positive, *(-x for x in positive), nan]


def denormals(dtype: str) -> list[float]:
    """Numbers below the least normal one."""
    limits = np.finfo(dtype)
    least, tiny = float(limits.smallest_subnormal), float(limits.tiny)
    return [least, -least, tiny / 4, -tiny / 2]


def _crossed(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Every point with every other, against NumPy. A device may take denormals for zeros, but for nothing else."""
    points = np.array([*edges(dtype), *denormals(dtype)]).astype(dtype).astype("float64")
    count = len(op.samples[0].inputs)
    columns = [np.array([column]) for column in zip(*product(points, repeat=min(count, 2)), strict=True)]
    if count == 3:
        columns.append(np.flip(columns[1]))
    flushed = [np.where(np.abs(x) < np.finfo(dtype).tiny, np.copysign(0.0, x), x) for x in columns]
    with np.errstate(all="ignore"):
        expected = np.asarray(REFERENCE[op.name](*columns), "float64")
        allowed = np.asarray(REFERENCE[op.name](*flushed), "float64")
    limit = max(tolerance(op.name, dtype), 4 * float(np.finfo(dtype).eps))
    ((_, result),) = _evaluations(subject, op, columns, dtype)
    found = subject.host(result)
    errors = np.minimum(element_errors(found, expected, dtype), element_errors(found, allowed, dtype))
    if op.name not in EITHER_ZERO:
        zero = (found == 0) & (expected == 0) & (allowed == 0)
        errors = np.where(zero & (np.signbit(found) != np.signbit(expected)), np.inf, errors)
    wrong = np.argwhere(~(errors <= limit))
    if len(wrong):
        at = int(wrong[0][1])
        raise ConformanceError(
            f"{op.name}({', '.join(f'{x[0, at]:.9g}' for x in columns)}) is {found[0, at]!s}, it should be "
            f"{expected[0, at]!s}; {len(wrong)} of {errors.size} such are wrong"
        )
    return Evidence(errors.size, float(errors.max()), limit)


def _moved(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Moving a value changes no bit of it, whatever it is."""
    points = np.array([[*edges(dtype), *denormals(dtype)]]).astype(dtype)
    cols = points.shape[1]
    x = np.concatenate([points, points[:, ::-1], np.roll(points, 5)])
    params: dict[str, Any] = {
        "reshape": {"rows": cols, "cols": 3},
        "slice": {"row_start": 1, "row_stop": 3, "col_start": 2, "col_stop": cols},
        "concat": {"axis": 0},
    }.get(op.name, {})
    arrays = [x, np.array([[2], [0], [2]], "int32")] if op.indices else [x, x] if op.variadic else [x]
    for _, result in _evaluations(subject, op, arrays, dtype, **params):
        same(subject.host(result), np.asarray(REFERENCE[op.name](*arrays, **params)), f"{op.name} of special values")
    return Evidence(x.size)


def _added(subject: Subject, dtype: str) -> Evidence:
    """What is added to a row reaches no other, nor does what is in another."""
    op, points = TABLE["add_rows"], edges(dtype)
    x = np.array([points, *np.arange(3.0 * len(points)).reshape(3, -1)]).astype(dtype).astype("float64")
    updates = np.array([[inf, -inf, nan, *[1.0] * (len(points) - 3)]] * 2)
    for rows in ([1, 3], [3, 3], [3, 1]):
        arrays = [x, np.array(rows, "int32").reshape(2, 1), updates]
        ((_, result),) = _evaluations(subject, op, arrays, dtype)
        text = f"add_rows to rows {rows} of special values"
        worst(subject.host(result), np.asarray(REFERENCE["add_rows"](*arrays)), dtype, 0.0, text)
    return Evidence(3 * x.size)


def _greatest(subject: Subject, op: Op, dtype: str) -> Evidence:
    """The greatest of a line is nan if any is nan; it is the first of equals; nothing starts at 0."""
    lines = list(LINES)
    for length in (2, 5, 8, 17, 33, 64, 70, 257):
        values = [-float(n % 7) - 1 for n in range(length)]
        for position in {0, 1, length // 2, length - 2, length - 1}:
            lines.append(([nan if n == position else x for n, x in enumerate(values)], nan, position))
            lines.append(([-0.5 if n == position else x for n, x in enumerate(values)], -0.5, position))
            lines.append(([-0.5 if n >= position else -inf for n in range(length)], -0.5, position))
    lines.append(([1.0, 1.0 + 2 * float(np.finfo(dtype).eps), 1.0], 1.0 + 2 * float(np.finfo(dtype).eps), 1))
    for line, greatest, position in lines:
        row = np.array([line])
        for x, axes in ((row, (1, None)), (row.T, (0, None)), (np.vstack([row, row]), (1,))):
            for axis in axes:
                sign = -1.0 if op.name == "min" else 1.0
                expected = position if op.name == "argmax" else sign * greatest
                for way, result in _evaluations(subject, op, [sign * x], dtype, axis=axis):
                    text = f"{op.name}({_shortened(line)} · {sign:g}, as {x.shape[0]}×{x.shape[1]}, axis={axis}){way}"
                    for found in subject.host(result).reshape(-1):
                        _one(found, np.float64(expected), text, either_zero=True)
    return Evidence(len(lines) * 5)


def _shortened(line: Sequence[float]) -> str:
    return f"[{', '.join(f'{x:g}' for x in line[:8])}{', …' if len(line) > 8 else ''}]"


def _summed(subject: Subject, dtype: str) -> Evidence:
    """An infinity or a nan comes through a sum, wherever it is; what is too great becomes infinite."""
    op, big = TABLE["sum"], float(np.finfo(dtype).max)
    cases = [([inf, 1.0], inf), ([inf, -inf], nan), ([nan, 0.0], nan), ([big, big], inf), ([-0.0], 0.0)]
    for length in (5, 17, 64, 257):
        for position in (0, length // 2, length - 1):
            cases.append(([inf if n == position else 1.0 for n in range(length)], inf))
            cases.append(([nan if n == position else 1.0 for n in range(length)], nan))
    for line, total in cases:
        for x, axis in ((np.array([line]), 1), (np.array([line]).T, 0), (np.array([line]), None)):
            ((_, result),) = _evaluations(subject, op, [x], dtype, axis=axis)
            text = f"sum({_shortened(line)}, as {x.shape[0]}×{x.shape[1]}, axis={axis})"
            _one(subject.host(result)[0, 0], np.float64(total), text, either_zero=True)
    return Evidence(len(cases) * 3)


def _products(subject: Subject, dtype: str) -> Evidence:
    """In a product 0 · inf and 0 · nan are nan, so nothing may be left out; and padding may not leak in."""
    op, cases = TABLE["matmul"], 0
    for size in (1, 3, 8, 17, 33):
        for value in (inf, -inf, nan):
            a, b = np.eye(size), np.ones((size, size))
            b[size // 2, size - 1] = value
            expected = b.copy() if size == 1 else _with_nan_column(b, size - 1, size // 2, value)
            for flags in ((False, False), (True, False), (False, True), (True, True)):
                arrays = [a, b.T if flags[1] else b]
                params = {"transpose_a": flags[0], "transpose_b": flags[1]}
                ((_, result),) = _evaluations(subject, op, arrays, dtype, **params)
                text = f"matmul: the identity by {size}×{size} with {value} at [{size // 2}, {size - 1}], {params}"
                worst(subject.host(result), expected, dtype, 0.0, text)
                cases += 1
    big = float(np.finfo(dtype).max)
    ((_, result),) = _evaluations(subject, op, [np.array([[big, big]]), np.array([[1.0], [1.0]])], dtype)
    _one(subject.host(result)[0, 0], np.float64(inf), "matmul: a product that is too great", either_zero=False)
    return Evidence(cases + 1)


def _with_nan_column(b: Any, col: int, row: int, value: float) -> Any:
    """The identity by b: in the column with the special value every other row has 0 · value, which is nan."""
    expected = b.copy()
    expected[:, col] = nan
    expected[row, col] = value
    return expected


FAR = [  # rows of logits far from 0 and apart, the logarithms of their shares, and a label
    ([1000.0, 1000.0, -1000.0], [-log(2), -log(2), -2000 - log(2)], 0),
    ([-1e30, -1e30, -1e30], [-log(3), -log(3), -log(3)], 1),
    ([1e30, 0.0, -1e30], [0.0, -1e30, -2e30], 0),
    ([3.0, -inf, 3.0], [-log(2), -inf, -log(2)], 2),
    ([0.0, -50.0, -80.0], [0.0, -50.0, -80.0], 2),
    ([-500.0, 500.0, 0.0], [-1000.0, 0.0, -500.0], 0),
]
CLOSE = 2e-6  # relative, also of a share of 1e-35


def _softmax(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Only differences matter, also far from 0; a small share has its digits, and its logarithm is there without it."""
    x, logarithms = (np.array([row[column] for row in FAR]) for column in (0, 1))
    expected = logarithms if op.name == "log_softmax" else np.exp(logarithms)
    for axis, given, wanted in ((1, x, expected), (0, x.T, expected.T)):
        for way, result in _evaluations(subject, op, [given], dtype, axis=axis):
            worst(subject.host(result), wanted, dtype, CLOSE, f"{op.name} of logits far apart, axis={axis}{way}")
    return Evidence(2 * len(FAR))


def _cross_entropy(subject: Subject, dtype: str) -> Evidence:
    """Of logits far from 0 and apart, the loss and its gradient are finite and right."""
    for row, logarithms, label in FAR:
        logits, labels = np.array([row]), np.array([[label]], "int32")
        for way, result in _evaluations(subject, TABLE["cross_entropy"], [logits, labels], dtype):
            loss = np.array([[-logarithms[label]]])
            worst(subject.host(result), loss, dtype, CLOSE, f"cross_entropy({row}, label {label}){way}")
        shares = np.exp([logarithms]) - np.eye(3)[[label]]
        for way, result in _evaluations(
            subject, TABLE["cross_entropy_gradient"], [np.ones((1, 1)), logits, labels], dtype
        ):
            text = f"cross_entropy_gradient({row}, label {label}){way}"
            whole(subject.host(result), shares, CLOSE, text)
    return Evidence(2 * len(FAR))


def _sigmoid(subject: Subject, dtype: str) -> Evidence:
    """What is small has its digits."""
    x = np.array([[-5.0, -15.0, -20.0, -40.0, -80.0]])
    for way, result in _evaluations(subject, TABLE["sigmoid"], [x], dtype):
        worst(subject.host(result), np.exp(x) / (1 + np.exp(x)), dtype, CLOSE, f"sigmoid of negative numbers{way}")
    return Evidence(x.size)


def checks(subject: Subject) -> Iterator[Check]:
    """Tables for every op that has one, crossed points for kernels, and what reductions and products let through.

    Kernels come first: what is wrong with one is wrong with what decomposes into it.
    """
    for dtype in subject.dtypes:
        yield from sorted(_of(subject, dtype), key=lambda check: TABLE[check.op or ""].decomposition is not None)


def _of(subject: Subject, dtype: str) -> Iterator[Check]:
    for name in (*UNARY, *BINARY):
        yield _check(f"{name} {dtype}", name, dtype, partial(_listed, subject, TABLE[name], dtype))
    for name in CROSSED:
        yield _check(f"{name} crossed {dtype}", name, dtype, partial(_crossed, subject, TABLE[name], dtype))
    for name in MOVED:
        yield _check(f"{name} {dtype}", name, dtype, partial(_moved, subject, TABLE[name], dtype))
    for name in ("max", "min", "argmax"):
        yield _check(f"{name} {dtype}", name, dtype, partial(_greatest, subject, TABLE[name], dtype))
    for name in ("softmax", "log_softmax"):
        yield _check(f"{name} {dtype}", name, dtype, partial(_softmax, subject, TABLE[name], dtype))
    for name, run in (
        ("sum", _summed),
        ("matmul", _products),
        ("add_rows", _added),
        ("cross_entropy", _cross_entropy),
    ):
        yield _check(f"{name} {dtype}", name, dtype, partial(run, subject, dtype))
    yield _check(f"sigmoid small {dtype}", "sigmoid", dtype, partial(_sigmoid, subject, dtype))


def _check(name: str, op: str, dtype: str, run: Any) -> Check:
    return Check("values", name, run, op=op, dtype=dtype)
