"""The matrix product, strip by strip of the inner extent, a strip in one list comprehension.

op(a) @ op(b) is a sum over strips: a few columns of op(a) by as many rows of op(b). `zip` makes both into short
vectors, one for each row of op(a) and one for each column of op(b), and every pair of them is multiplied. So all
layouts are one case, only a strip at a time is held as Python floats (eight times the size of float32), and the
interpreter's cost of a pair is spread over the width of the strip.
"""

from __future__ import annotations

import sys
from array import array
from operator import add
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Values = array[Any]  # row-major, of typecode f, d or i
    Vectors = Sequence[tuple[float, ...]]

_PANEL = 1 << 17  # elements of the result that are held as Python floats at a time


def unrolled(xs: Vectors, ys: Vectors) -> list[float]:
    """Every x · every y, written out for the three widths of a strip."""
    width = len(xs[0])
    if width == 1:
        return [a * s for (a,) in xs for (s,) in ys]
    if width == 2:
        return [a * s + b * t for a, b in xs for s, t in ys]
    return [
        a * s + b * t + c * u + d * v + e * w + f * x + g * y + h * z
        for a, b, c, d, e, f, g, h in xs
        for s, t, u, v, w, x, y, z in ys
    ]


# By name: the widths of strip that a function takes, the widest first, and the function. The last entry is used.
#
# Compared on CPython 3.11 to 3.13 at 32×64×64, 32×64×32, 32×32×10 and the products of their gradients: `sum(map(mul, x,
# y))` of whole rows and columns, sums of 4 scaled rows at a time, 4 columns at once in a `for` loop, expressions of 4,
# 8, 16 and 32 products, `math.sumprod`. The last, new in Python 3.12, is the fastest by half for more than 8 products.
# Otherwise 8 at a time are: twice as fast as `sum(map(…))` for the short vectors of a small batch, no slower for long
# ones, and within a tenth of 16 and 32, which divide fewer extents.
FORMULATIONS: dict[str, tuple[Sequence[int], Callable[[Vectors, Vectors], list[float]]]] = {
    "unrolled": ((8, 2, 1), unrolled)
}

if sys.version_info >= (3, 12):
    from math import sumprod

    def summed(xs: Vectors, ys: Vectors) -> list[float]:
        """Every x · every y."""
        return unrolled(xs, ys) if len(xs[0]) <= 8 else [sumprod(x, y) for x in xs for y in ys]

    FORMULATIONS["sumprod"] = ((*range(64, 7, -1), 2, 1), summed)

_BEST = next(reversed(FORMULATIONS))


def product(
    a: Values,
    b: Values,
    extents: tuple[int, int, int],
    transpose_a: bool = False,
    transpose_b: bool = False,
    bias: Sequence[float] = (),
    formulation: str = _BEST,
) -> Values:
    """op(a) @ op(b), m × n, for `extents` (m, k, n) of op(a), m × k, and op(b), k × n; plus a row `bias`, if given."""
    m, k, n = extents
    widths, multiplied = FORMULATIONS[formulation]
    result: Values = array(a.typecode)
    panel = max(widths[0], _PANEL // max(n, 1))
    for top in range(0, m, panel):
        rows = min(panel, m - top)
        total = list(bias) * rows
        for strip in strips(k, widths):
            xs = list(zip(*[_column(a, m, k, i, transpose_a, top, rows) for i in strip], strict=True))
            ys = list(zip(*[b[i::k] if transpose_b else b[i * n : (i + 1) * n] for i in strip], strict=True))
            part = multiplied(xs, ys) if ys else []
            total = list(map(add, total, part)) if total else part
        result.fromlist(total or [0.0] * (rows * n))
    return result


def strips(k: int, widths: Sequence[int]) -> Iterator[range]:
    """0 … k in strips, each as wide as `widths` and the rest allow."""
    start = 0
    while start < k:
        width = next(width for width in widths if width <= k - start)
        yield range(start, start + width)
        start += width


def _column(a: Values, m: int, k: int, i: int, transposed: bool, top: int, rows: int) -> Values:
    """Elements top … top + rows of column i of op(a)."""
    if transposed:
        return a[i * m + top : i * m + top + rows]
    return a[top * k + i : (top + rows) * k : k]
