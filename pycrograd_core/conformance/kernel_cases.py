"""What kernels are tried on, beside samples of their ops: whole ranges, long lines, ties, tiles, no elements at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pycrograd_core.op import Op

from .cases import EXTENTS, MANY, WIDE, Case, broadcasting, case, repeating, resized, samples

# Inputs over the whole range of an op, beside the tame ones of its samples.


def _wide(numbers: np.random.Generator, shape: tuple[int, int], low: float, high: float) -> Any:
    """Of either sign, magnitudes from 10^low to 10^high."""
    return numbers.choice([-1.0, 1.0], shape) * 10.0 ** numbers.uniform(low, high, shape)


RANGES: dict[str, Callable[[np.random.Generator, tuple[int, int]], list[Any]]] = {
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


def _ranged(op: Op) -> Iterator[Case]:
    numbers = np.random.default_rng(7)
    for shape in ((1, 1025), (65, 33)):
        if op.name in RANGES:
            arrays = [x.astype("float32").astype("float64") for x in RANGES[op.name](numbers, shape)]
            yield Case(f"{shape[0]}×{shape[1]}, the whole range", arrays, {})
    if op.name == "power":
        yield Case("negative bases, whole exponents", NEGATIVE_BASES, {})


def _many(op: Op) -> Iterator[Case]:
    """More elements than are counted in 16 bits, or fit into a block."""
    for extents in MANY:
        for sample in [*resized(op, extents)][:1]:
            yield case(op, sample)


LONG = ((1, 1025), (1025, 1), (3, 4097), (97, 131))


def _lines(op: Op) -> Iterator[Case]:
    """Long lines, with every length around a vector's so that no tail is lost."""
    numbers = np.random.default_rng(8)
    for shape in (*LONG, *((3, n) for n in range(1, 20))):
        for axis in (None, 0, 1):
            x = numbers.uniform(-1, 1, shape).astype("float32").astype("float64")
            yield Case(f"{shape[0]}×{shape[1]}, axis={axis}", [x], {"axis": axis})
            yield Case(f"{shape[0]}×{shape[1]} below zero, axis={axis}", [-np.abs(x).clip(2.0**-10)], {"axis": axis})


def _many_in_line(op: Op) -> Iterator[Case]:
    """Whole numbers, whose sum is exact in whatever order; the greatest is the last one."""
    numbers = np.random.default_rng(14)
    for shape in (*MANY, (65551, 2), (2, 65551)):
        x = numbers.integers(-8, 9, shape).astype("float64")
        x[-1, -1] = 11.0
        for axis in (None, 0, 1):
            yield Case(f"{shape[0]}×{shape[1]} whole numbers, axis={axis}", [x], {"axis": axis})


def _ties(op: Op) -> Iterator[Case]:
    """Equal elements: the first of them counts."""
    numbers = np.random.default_rng(9)
    for shape in ((5, 40), (40, 5), (64, 64)):
        for axis in (None, 0, 1):
            x = np.floor(numbers.uniform(-3, 3, shape))
            yield Case(f"{shape[0]}×{shape[1]} with ties, axis={axis}", [x], {"axis": axis})


def _products(op: Op) -> Iterator[Case]:
    """Whole numbers, whose sums are exact, at the edges of tiles; long inner extents; many elements."""
    numbers = np.random.default_rng(10)
    sizes = [(n, n, n) for n in (1, 2, 3, 15, 16, 17, 31, 33, 65)]
    sizes += [(1, 33, 1), (17, 65, 2), (3, 16, 129), (129, 5, 31), (2, 1024, 3), (1, 64, 64), (32, 64, 10)]
    sizes += [(1, 4099, 1), (3, 2051, 18), (1, 3, 8209), (8209, 3, 1), (259, 70, 257)]
    for m, k, n in sizes:
        for transpose_a, transpose_b in ((False, False), (False, True), (True, False), (True, True)):
            a = numbers.integers(-8, 9, (k, m) if transpose_a else (m, k)).astype("float64")
            b = numbers.integers(-8, 9, (n, k) if transpose_b else (k, n)).astype("float64")
            flags = {"transpose_a": transpose_a, "transpose_b": transpose_b}
            yield Case(f"{m}×{k} by {k}×{n}, {flags}", [a, b], flags)


def _parts(op: Op) -> Iterator[Case]:
    numbers = np.random.default_rng(11)
    x, large, high, wide = (
        numbers.uniform(-2, 2, shape).astype("float32").astype("float64")
        for shape in ((31, 20), (259, 257), (65551, 2), (2, 65551))
    )
    params: dict[str, list[dict[str, int]]] = {
        "reshape": [{"rows": r, "cols": 620 // r} for r in (1, 5, 31, 620)],
        "slice": [
            {"row_start": a, "row_stop": b, "col_start": c, "col_stop": d}
            for a, b in ((0, 31), (3, 4), (7, 31), (2, 2))
            for c, d in ((0, 20), (19, 20), (1, 18), (5, 5))
        ],
    }  # fmt: skip
    for each in params[op.name]:
        yield Case(f"31×20, {each}", [x], each)
    whole = {"rows": 257, "cols": 259}
    part = {"row_start": 1, "row_stop": 259, "col_start": 1, "col_stop": 256}
    yield Case("259×257", [large], whole if op.name == "reshape" else part)
    if op.name == "slice":
        yield Case("65551×2", [high], {"row_start": 65530, "row_stop": 65551, "col_start": 0, "col_stop": 2})
        yield Case("2×65551", [wide], {"row_start": 0, "row_stop": 2, "col_start": 65530, "col_stop": 65551})


_MANY_ROWS = ((65551, 2, 70), (9, 2, 65551), (259, 257, 300), (5, 8209, 7))


def _scattered(op: Op) -> Iterator[Case]:
    """Rows that repeat, none, and all the same."""
    numbers = np.random.default_rng(12)
    for rows, cols, n in ((7, 33, 100), (5, 1, 64), (1, 16, 9), (300, 3, 40), (4, 5, 0), (4, 0, 3), *_MANY_ROWS):
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


def empty(op: Op) -> Iterator[Case]:
    """Operands without elements, of which some give a result that has some."""
    for shapes, params in EMPTY.get(op.name, ()):
        text = ", ".join("×".join(map(str, shape)) for shape in shapes)
        yield Case(f"{text} {params or ''}", [np.full(shape, 1.5) for shape in shapes], params)


OF_ONE: dict[str, tuple[Callable[[Op], Iterator[Case]], ...]] = {
    "sum": (_lines, _many_in_line),
    "max": (_lines, _many_in_line),
    "argmax": (_lines, _many_in_line, _ties),
    "matmul": (_products,),
    "reshape": (_parts,),
    "slice": (_parts,),
    "transpose": (_many,),
    "concat": (_many,),
    "take_rows": (_scattered,),
    "add_rows": (_scattered,),
}


def cases(op: Op) -> Iterator[Case]:
    """All inputs that a kernel is tried on."""
    sizes = (each for extents in (*EXTENTS, *WIDE) for each in resized(op, extents))
    for sample in (*samples(op), *sizes, *broadcasting(op)):
        yield case(op, sample)
    for more in (repeating, _ranged, empty, *([_many] if op.elementwise else []), *OF_ONE.get(op.name, ())):
        yield from more(op)
