"""Every kernel against NumPy formulas in float64: odd and tile-edge sizes, extents of 0 and 1, `out`, aliasing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.conformance.cases import EXTENTS, described, drawn, resized
from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import same, worst
from pycrograd_core.conformance.reference import REFERENCE
from pycrograd_core.conformance.subject import Subject
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import INDEX_DTYPE, Op
from pycrograd_core.ops import TABLE

Arrays = Sequence[Any]


@dataclass(frozen=True)
class Case:
    """Inputs and parameters of one call, and what a person calls it."""

    text: str
    arrays: Arrays
    params: dict[str, Any]


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


def tolerance(name: str, dtype: str) -> float:
    """The relative error that a kernel may have. In float64 the reference has an error of its own."""
    epsilons = EPSILONS.get(name, 0.0 if name in EXACT else DEFAULT)
    return float(epsilons * np.finfo(dtype).eps * (2 if dtype == "float64" else 1))


EXACT = {
    "maximum", "greater", "where", "max", "argmax", "transpose", "reshape", "slice", "concat", "take_rows",
}  # fmt: skip

# Inputs over the whole range of an op, beside the tame ones of its samples.


def _wide(numbers: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> Any:
    """Of either sign, magnitudes from 10^low to 10^high."""
    return numbers.choice([-1.0, 1.0], shape) * 10.0 ** numbers.uniform(low, high, shape)


RANGES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Arrays]] = {
    "exp": lambda n, s: [n.uniform(-87, 88, s)],
    "log": lambda n, s: [np.abs(_wide(n, s, -37, 38))],
    "sqrt": lambda n, s: [np.abs(_wide(n, s, -37, 38))],
    "tanh": lambda n, s: [_wide(n, s, -6, 2)],
    **dict.fromkeys(
        ("add", "subtract", "maximum", "greater"), lambda n, s: [_wide(n, s, -30, 38), _wide(n, s, -30, 38)]
    ),
    **dict.fromkeys(("multiply", "divide"), lambda n, s: [_wide(n, s, -25, 25), _wide(n, s, -25, 25)]),
    "power": lambda n, s: [np.abs(_wide(n, s, -3, 3)), n.uniform(-9, 9, s)],
}  # fmt: skip
NEGATIVE_BASES = [np.array([[-3.0, -2.0, -0.5, -7.0, -1.0]]), np.array([[3.0], [-2.0], [0.0], [5.0], [1.0]])]
LONG = ((1, 1025), (1025, 1), (3, 4097), (97, 131))


def _ranged(op: Op) -> Iterator[Case]:
    numbers = np.random.default_rng(7)
    for shape in ((1, 1025), (65, 33)):
        if op.name in RANGES:
            arrays = [x.astype("float32").astype("float64") for x in RANGES[op.name](numbers, shape)]
            yield Case(f"{shape[0]}×{shape[1]}, the whole range", arrays, {})
    if op.name == "power":
        yield Case("negative bases, whole exponents", NEGATIVE_BASES, {})


def _sums(op: Op) -> Iterator[Case]:
    """Long lines, with every length around a vector's so that no tail is lost. Ones count what was added."""
    numbers = np.random.default_rng(8)
    for shape in (*LONG, *((3, n) for n in range(1, 20))):
        for axis in (None, 0, 1):
            x = numbers.uniform(-1, 1, shape).astype("float32").astype("float64")
            yield Case(f"{shape[0]}×{shape[1]}, axis={axis}", [x], {"axis": axis})
            yield Case(f"{shape[0]}×{shape[1]} below zero, axis={axis}", [-np.abs(x).clip(2.0**-10)], {"axis": axis})


def _ties(op: Op) -> Iterator[Case]:
    """Equal elements: the first of them counts."""
    numbers = np.random.default_rng(9)
    for shape in ((5, 40), (40, 5), (64, 64)):
        for axis in (None, 0, 1):
            yield Case(
                f"{shape[0]}×{shape[1]} with ties, axis={axis}",
                [np.floor(numbers.uniform(-3, 3, shape))],
                {"axis": axis},
            )


def _products(op: Op) -> Iterator[Case]:
    """Whole numbers, whose sums are exact, at the edges of tiles; and one long inner extent."""
    numbers = np.random.default_rng(10)
    sizes = [(n, n, n) for n in (1, 2, 3, 15, 16, 17, 31, 33, 65)]
    sizes += [(1, 33, 1), (17, 65, 2), (3, 16, 129), (129, 5, 31), (2, 1024, 3), (1, 64, 64), (32, 64, 10)]
    for m, k, n in sizes:
        for transpose_a, transpose_b in ((False, False), (False, True), (True, False), (True, True)):
            a = numbers.integers(-8, 9, (k, m) if transpose_a else (m, k)).astype("float64")
            b = numbers.integers(-8, 9, (n, k) if transpose_b else (k, n)).astype("float64")
            flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
            yield Case(f"{m}×{k} by {k}×{n}, {flags}", [a, b], flags)


def _layouts(op: Op) -> Iterator[Case]:
    numbers = np.random.default_rng(11)
    x = numbers.uniform(-2, 2, (31, 20)).astype("float32").astype("float64")
    params = {
        "reshape": [{"rows": r, "cols": 620 // r} for r in (1, 5, 31, 620)],
        "slice": [
            {"row_start": a, "row_stop": b, "col_start": c, "col_stop": d}
            for a, b in ((0, 31), (3, 4), (7, 31), (2, 2))
            for c, d in ((0, 20), (19, 20), (1, 18), (5, 5))
        ],
    }  # fmt: skip
    for each in params.get(op.name, ()):
        yield Case(f"31×20, {each}", [x], each)


def _scattered(op: Op) -> Iterator[Case]:
    """Rows that repeat, none, and all the same."""
    numbers = np.random.default_rng(12)
    for rows, cols, n in ((7, 33, 100), (5, 1, 64), (1, 16, 9), (300, 3, 40), (4, 5, 0)):
        x = numbers.uniform(-2, 2, (rows, cols)).astype("float32").astype("float64")
        updates = numbers.uniform(-2, 2, (n, cols)).astype("float32").astype("float64")
        indices = numbers.integers(0, rows, (n, 1)).astype("int32")
        arrays = [x, indices, updates] if op.name == "add_rows" else [x, indices]
        yield Case(f"{n} of {rows}×{cols}", arrays, {})


EMPTY: dict[str, list[tuple[list[tuple[int, int]], dict[str, Any]]]] = {
    **{name: [([(0, 3)], {}), ([(3, 0)], {}), ([(0, 0)], {})] for name in ("exp", "log", "sqrt", "tanh", "transpose")},
    **{name: [([(0, 3), (1, 3)], {}), ([(3, 0), (3, 1)], {}), ([(1, 1), (0, 0)], {})]
       for name in ("add", "subtract", "multiply", "divide", "power", "maximum", "greater")},
    "where": [([(0, 3), (1, 1), (1, 3)], {}), ([(3, 1), (3, 0), (1, 1)], {})],
    "sum": [([shape], {"axis": axis}) for shape in ((0, 3), (3, 0), (0, 0)) for axis in (None, 0, 1)],
    "max": [([(0, 3)], {"axis": 1}), ([(3, 0)], {"axis": 0})],
    "argmax": [([(0, 3)], {"axis": 1}), ([(3, 0)], {"axis": 0})],
    "matmul": [
        ([(0, 3), (3, 2)], {}), ([(3, 0), (0, 2)], {}), ([(3, 2), (2, 0)], {}),
        ([(0, 3), (2, 0)], {"transpose_a": True, "transpose_b": True}),
    ],
    "reshape": [([(0, 3)], {"rows": 5, "cols": 0}), ([(0, 0)], {"rows": 0, "cols": 7})],
    "slice": [([(3, 0)], {"row_start": 1, "row_stop": 2, "col_start": 0, "col_stop": 0})],
    "concat": [
        ([(0, 3), (2, 3), (0, 3)], {"axis": 0}), ([(2, 0), (2, 3)], {"axis": 1}), ([(0, 3), (0, 2)], {"axis": 1}),
    ],
}  # fmt: skip


def _empty(op: Op) -> Iterator[Case]:
    for shapes, params in EMPTY.get(op.name, ()):
        text = ", ".join("×".join(map(str, shape)) for shape in shapes)
        yield Case(f"{text} {params or ''}", [np.full(shape, 1.5) for shape in shapes], params)


FURTHER: dict[str, tuple[Callable[[Op], Iterator[Case]], ...]] = {
    "sum": (_sums,),
    "max": (_sums,),
    "argmax": (_sums, _ties),
    "matmul": (_products,),
    "reshape": (_layouts,),
    "slice": (_layouts,),
    "take_rows": (_scattered,),
    "add_rows": (_scattered,),
}


def cases(op: Op) -> Iterator[Case]:
    """All inputs that a kernel is tried on."""
    for sample in (*op.samples, *(each for extents in EXTENTS for each in resized(op, extents))):
        yield Case(described(sample), drawn(op, sample), dict(sample.params))
    for further in (_ranged, _empty, *FURTHER.get(op.name, ())):
        yield from further(op)


def called(subject: Subject, op: Op, inputs: Sequence[Matrix], case: Case, dtype: str, **out: Any) -> Matrix:
    """What the kernel returns, which must be a matrix of this class, of the right shape and dtype."""
    with np.errstate(all="ignore"):  # a backend over NumPy may leave it to warn of what overflows
        result = subject.matrix.kernels[op](*inputs, **case.params, **out)
    where = f"{op.name}({case.text})"
    if type(result) is not subject.matrix:
        raise ConformanceError(f"{where}: returned {type(result).__name__}, not a {subject.matrix.__name__}")
    expected = op.dtype_of(inputs, case.params)
    if result.dtype != expected:
        raise ConformanceError(f"{where}: the result says that its dtype is {result.dtype}, it should be {expected}")
    if result.shape != op.result_shape(inputs, case.params):
        raise ConformanceError(
            f"{where}: the result says that it is {result.shape}, it should be {op.result_shape(inputs, case.params)}"
        )
    return result


def compared(subject: Subject, op: Op, result: Matrix, case: Case, dtype: str, note: str = "") -> float:
    """The worst error of a result, which must be within the tolerance."""
    with np.errstate(all="ignore"):
        expected = np.asarray(REFERENCE[op.name](*case.arrays, **case.params))
    found, where = subject.host(result), f"{op.name}({case.text}){note}"
    if result.dtype == INDEX_DTYPE:
        same(found, expected.astype("int32"), where)
        return 0.0
    scale = SCALES[op.name](*case.arrays, **case.params) if op.name in SCALES else None
    return worst(found, expected, dtype, tolerance(op.name, dtype), where, scale)


def _values(subject: Subject, op: Op, dtype: str) -> Evidence:
    error, count = 0.0, 0
    for case in cases(op):
        inputs = subject.matrices(op, case.arrays, dtype)
        result = called(subject, op, inputs, case, dtype)
        error = max(error, compared(subject, op, result, case, dtype))
        _unchanged(subject, inputs, case, dtype, range(len(inputs)))
        count += 1
    return Evidence(count, error, tolerance(op.name, dtype))


def _unchanged(subject: Subject, inputs: Sequence[Matrix], case: Case, dtype: str, positions: Any) -> None:
    for position in positions:
        kept = case.arrays[position]
        same(
            subject.host(inputs[position]), kept.astype(inputs[position].dtype), f"{case.text}: input {position}, after"
        )


def _out(subject: Subject, op: Op, dtype: str) -> Evidence:
    """`out` may be a matrix of its own, or an operand of the result's shape: of a product it is never an operand."""
    error, count = 0.0, 0
    for sample in (*op.samples, *resized(op, (33, 17))):
        case = Case(described(sample), drawn(op, sample), dict(sample.params))
        shape = np.asarray(REFERENCE[op.name](*case.arrays, **case.params)).shape
        own: list[int | None] = [
            i
            for i, x in enumerate(case.arrays)
            if i not in op.indices and x.shape == shape and op is not TABLE["matmul"]
        ]
        for target in (None, *own):
            inputs = subject.matrices(op, case.arrays, dtype)
            out = subject.tensor(np.full(shape, np.nan), dtype).value if target is None else inputs[target]
            result = called(subject, op, inputs, case, dtype, out=out)
            note = " with out" if target is None else f" with input {target} as out"
            error = max(error, compared(subject, op, result, case, dtype, note))
            _unchanged(subject, inputs, case, dtype, [i for i in range(len(inputs)) if i != target])
            count += 1
    return Evidence(count, error, tolerance(op.name, dtype))


def _independent(subject: Subject, op: Op, dtype: str) -> Evidence:
    """A result is a value of its own: writing to an operand leaves it alone, and writing to it leaves those alone."""
    tried = [Case(described(sample), drawn(op, sample), dict(sample.params)) for sample in op.samples]
    tried += [Case("whole", [np.full((3, 4), 1.5)], params) for params in WHOLE.get(op.name, ())]
    for case in tried:
        for written in range(len(case.arrays) + 1):
            inputs = subject.matrices(op, case.arrays, dtype)
            result = called(subject, op, inputs, case, dtype)
            target = inputs[written] if written < len(inputs) else result
            other = np.full(target.shape, 0, "int32") if target.dtype == INDEX_DTYPE else np.full(target.shape, 9.0)
            target.assign(subject.tensor(other, target.dtype).value)
            if written < len(inputs):
                compared(subject, op, result, case, dtype, f" after input {written} was overwritten")
            _unchanged(subject, inputs, case, dtype, [i for i in range(len(inputs)) if i != written])
    return Evidence(len(tried))


WHOLE: dict[str, list[dict[str, Any]]] = {  # parameters with which a result equals its operand
    "reshape": [{"rows": 3, "cols": 4}],
    "slice": [{"row_start": 0, "row_stop": 3, "col_start": 0, "col_stop": 4}],
    "concat": [{"axis": 0}],
}


def _indices(subject: Subject, op: Op) -> Evidence:
    """Layout kernels also take row numbers and labels, int32, whose every bit counts."""
    limits = np.iinfo(np.int32)
    count = 0
    for case in [*cases(op)]:
        if not all(x.dtype.kind == "f" for x in case.arrays[:1]):
            continue
        numbers = np.random.default_rng(13)
        arrays = [
            x if i in op.indices else numbers.integers(limits.min, limits.max, x.shape, endpoint=True).astype("int32")
            for i, x in enumerate(case.arrays)
        ]
        whole = Case(f"{case.text}, int32", arrays, case.params)
        inputs = subject.matrices(op, arrays, INDEX_DTYPE)
        result = called(subject, op, inputs, whole, INDEX_DTYPE)
        same(subject.host(result), np.asarray(REFERENCE[op.name](*arrays, **case.params)), f"{op.name}({whole.text})")
        count += 1
    return Evidence(count)


def checks(subject: Subject) -> Iterator[Check]:
    """Values, `out` and independence of each kernel, in each dtype; layout kernels also with int32."""
    for op in subject.kernels:
        if op.name not in REFERENCE:
            continue
        for dtype in subject.dtypes:
            fields = {"op": op.name, "dtype": dtype}
            yield Check("kernels", f"{op.name} {dtype}", partial(_values, subject, op, dtype), **fields)
            if subject.takes_out(op):
                yield Check("kernels", f"{op.name} out {dtype}", partial(_out, subject, op, dtype), **fields)
            yield Check("kernels", f"{op.name} apart {dtype}", partial(_independent, subject, op, dtype), **fields)
        if op.accepts_indices:
            yield Check("kernels", f"{op.name} int32", partial(_indices, subject, op), op=op.name, dtype=INDEX_DTYPE)
