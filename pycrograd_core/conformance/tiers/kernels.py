"""Every kernel against NumPy formulas in float64: odd and tile-edge sizes, extents of 0 and 1, `out`, aliasing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.conformance import memory
from pycrograd_core.conformance.calls import called
from pycrograd_core.conformance.cases import Case, case, repeating, resized, samples
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.kernel_cases import cases, empty
from pycrograd_core.conformance.measure import same, worst
from pycrograd_core.conformance.process import left_alone
from pycrograd_core.conformance.reference import REFERENCE
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import INDEX_DTYPE, Op
from pycrograd_core.ops import TABLE

# What an error is relative to, where it is not the element itself, and how many epsilons of the dtype it may be.

SCALES: dict[str, Callable[..., Any]] = {
    "sum": lambda x, axis=None: REFERENCE["sum"](np.abs(x), axis),
    "matmul": lambda a, b, **flags: REFERENCE["matmul"](np.abs(a), np.abs(b), **flags),
    "add_rows": lambda x, indices, updates: REFERENCE["add_rows"](np.abs(x), indices, np.abs(updates)),
}
EPSILONS = {
    **dict.fromkeys(("add", "subtract", "multiply"), 1.0),  # IEEE 754 rounds them correctly
    **dict.fromkeys(("divide", "sqrt"), 4.0),
    **dict.fromkeys(("exp", "log", "tanh"), 8.0),
    "power": 32.0,
    **dict.fromkeys(("sum", "matmul"), 32.0),
    "add_rows": 16.0,
}
DEFAULT = 8.0
READABLE = 16  # elements


def tolerance(name: str, dtype: str) -> float:
    """The relative error that a kernel may have. In float64 the reference has an error of its own."""
    epsilons = EPSILONS.get(name, 0.0 if name in EXACT else DEFAULT)
    return float(epsilons * np.finfo(dtype).eps * (2 if dtype == "float64" else 1))


EXACT = {
    "maximum", "greater", "where", "max", "argmax", "transpose", "reshape", "slice", "concat", "take_rows",
}  # fmt: skip


def compared(subject: Subject, op: Op, result: Matrix, each: Case, dtype: str, note: str = "") -> float:
    """The worst error of a result, which must be within the tolerance."""
    with np.errstate(all="ignore"):
        expected = np.asarray(REFERENCE[op.name](*each.arrays, **each.params))
    where = f"{op.name}({each.text}){note}"
    found = subject.host(result, where)
    try:
        if result.dtype == INDEX_DTYPE:
            same(found, expected.astype("int32"), where)
            return 0.0
        scale = SCALES[op.name](*each.arrays, **each.params) if op.name in SCALES else None
        return worst(found, expected, dtype, tolerance(op.name, dtype), where, scale)
    except ConformanceError as failure:
        raise ConformanceError(f"{failure}{_operands(each.arrays)}") from None


def _operands(arrays: Sequence[Any]) -> str:
    """The operands, for a message, where they are few enough to be read."""
    if sum(x.size for x in arrays) > READABLE:
        return ""
    return f"; of {' and '.join(str(np.array2string(x, precision=5, separator=', ')) for x in arrays)}"


def _values(subject: Subject, op: Op, dtype: str) -> Evidence:
    error, count = 0.0, 0
    for each in cases(op):
        inputs = subject.matrices(op, each.arrays, dtype)
        result = called(subject, op, inputs, each.params, f"{op.name}({each.text})")
        error = max(error, compared(subject, op, result, each, dtype))
        _unchanged(subject, op, inputs, each, range(len(inputs)))
        count += 1
    return Evidence(count, error, tolerance(op.name, dtype))


def _unchanged(subject: Subject, op: Op, inputs: Sequence[Matrix], each: Case, positions: Any) -> None:
    for position in positions:
        x, kept = inputs[position], each.arrays[position]
        same(subject.host(x), kept.astype(x.dtype), f"input {position} of {op.name}({each.text}), after the call")


def _out(subject: Subject, op: Op, dtype: str) -> Evidence:
    """`out` may be a matrix of its own, or an operand of the result's shape: of a product it is never an operand.

    It was read before: what a backend knows of its values on the host is of no use any more.
    """
    error, count = 0.0, 0
    large = resized(op, (259, 130)) if op.elementwise else ()
    sized = [case(op, sample) for sample in (*samples(op), *resized(op, (33, 17)), *large)]
    for each in (*sized, *repeating(op), *empty(op)):
        shape = np.asarray(REFERENCE[op.name](*each.arrays, **each.params)).shape
        own: list[int | None] = [
            i
            for i, x in enumerate(each.arrays)
            if i not in op.indices and x.shape == shape and op is not TABLE["matmul"]
        ]
        for target in (None, *own):
            inputs = subject.matrices(op, each.arrays, dtype)
            out = subject.tensor(np.full(shape, np.nan), dtype).value if target is None else inputs[target]
            subject.host(out)
            note = " with out" if target is None else f" with input {target} as out"
            result = called(subject, op, inputs, each.params, f"{op.name}({each.text}){note}", out=out)
            error = max(error, compared(subject, op, result, each, dtype, note))
            _unchanged(subject, op, inputs, each, [i for i, x in enumerate(inputs) if x is not out])
            count += 1
    return Evidence(count, error, tolerance(op.name, dtype))


def _indices(subject: Subject, op: Op) -> Evidence:
    """Layout kernels also take row numbers and labels, int32, whose every bit counts."""
    limits = np.iinfo(np.int32)
    count = 0
    for each in cases(op):
        numbers = np.random.default_rng(13)
        arrays = [
            x if i in op.indices else numbers.integers(limits.min, limits.max, x.shape, endpoint=True).astype("int32")
            for i, x in enumerate(each.arrays)
        ]
        text = f"{op.name}({each.text}, int32)"
        result = called(subject, op, subject.matrices(op, arrays, INDEX_DTYPE), each.params, text)
        same(subject.host(result), np.asarray(REFERENCE[op.name](*arrays, **each.params)), text)
        count += 1
    return Evidence(count)


def checks(subject: Subject) -> Iterator[Check]:
    """Values, `out` and what is done to memory of each kernel, in each dtype; layout kernels also with int32."""
    for op in subject.kernels:
        if op.name not in REFERENCE:
            continue
        for dtype in subject.dtypes:
            fields = {"op": op.name, "dtype": dtype}
            yield Check("kernels", f"{op.name} {dtype}", partial(_values, subject, op, dtype), **fields)
            if subject.takes_out(op):
                yield Check("kernels", f"{op.name} out {dtype}", partial(_out, subject, op, dtype), **fields)
            for name, run in memory.CHECKS.items():
                yield Check("kernels", f"{op.name} {name} {dtype}", partial(run, subject, op, dtype), **fields)
        if op.accepts_indices:
            yield Check("kernels", f"{op.name} int32", partial(_indices, subject, op), op=op.name, dtype=INDEX_DTYPE)
    yield Check("kernels", "process", partial(left_alone, subject))
