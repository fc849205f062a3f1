"""The elements of a matrix product, each from two vectors, as Python source for a fused loop.

There are three ways. The first gives the bits of `product`: what it adds in which order is written out, operand by
operand. The second hands that to `math.sumprod`, where `product` does. The third is for float32 alone, and the only
one that is much faster. CPython spends 25 ns on a multiply-add, however it is written, but 6 to 8 ns on an element in
`math.dist`, which is C; and a distance is a product in disguise (the polarisation identity):

    p · q = (‖p‖² + ‖q‖² - ‖p - q‖²) / 2

The norms cost as much as one more row and column. In doubles the bracket is exact to 2⁻⁵¹ (‖p‖² + ‖q‖²). It is rounded
to a grid of 2⁻⁴⁸ (‖p‖² + the greatest ‖q‖²), where a product that is exactly 0 becomes 0 again: relu needs to see it.
So the error is 2⁻⁴⁸ ‖p‖ ‖q‖ where all norms are alike. Where they are so far apart that it could reach 2⁻²⁷, each q is
brought to the middle of the p by a power of two. If that does not help, or a vector is not finite, `norms` raises
ArithmeticError and the kernels compute the product.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import frexp, hypot, isfinite, ldexp, sqrt

from .product import FORMULATIONS, strips

Vectors = Sequence[tuple[float, ...]]

UNROLLED = 128  # the longest vectors that are written out; longer ones would be much source for little speed
SHORTEST = 12  # of vectors whose distance is faster than their products one by one
HELD = 1 << 22  # elements of a matrix that may be held as Python floats, at 32 bytes each
APART = 2.0**20  # the greatest ratio of norms, and of them times that of the norms of the q


def written_out(k: int, x: str, w: str, start: str = "") -> str | None:
    """x0 * w0 + x1 * w1 … in the order of `product`, from `start` on; None if `product` takes another way."""
    name = next(reversed(FORMULATIONS))
    widths, _ = FORMULATIONS[name]
    terms = [start] if start else []
    for strip in strips(k, widths):
        if len(strip) > 8 or k > UNROLLED:
            return None
        terms.append("(" + " + ".join(f"{x}{i} * {w}{i}" for i in strip) + ")")
    return " + ".join(terms)


def summed(k: int) -> bool:
    """Whether `product` makes each element by a single `math.sumprod`."""
    name = next(reversed(FORMULATIONS))
    return name == "sumprod" and 8 < k <= FORMULATIONS[name][0][0]


def by_distance(dtype: str, m: int, k: int, n: int) -> bool:
    """Whether an m × k × n product is made of distances."""
    return dtype == "float32" and k >= SHORTEST and min(m, n) > 1 and max(m * k, k * n, m * n) <= HELD


Norms = tuple[list[float], list[float], list[float], list[float], Vectors, list[float]]


def norms(ps: Vectors, qs: Vectors) -> Norms:
    """Each ‖p‖², ‖q‖ and ‖q‖², for each p the number that makes the grid, the vectors q, and for each of them ½.

    A number plus 3 · 2⁵¹ grid, less that, is the nearest point of the grid. If a q comes multiplied by a power of two,
    its ½ is divided by it. Raises ArithmeticError if the products cannot be made of distances.
    """
    p_norms, q_norms = [hypot(*p) for p in ps], [hypot(*q) for q in qs]
    (p_least, p_most), (q_least, q_most) = _extent(p_norms), _extent(q_norms)
    halves = [0.5] * len(qs)
    if max(p_most / q_least, q_most / p_least * (q_most / q_least)) > APART:
        if p_most / p_least > APART * APART / 16:
            raise ArithmeticError("some vectors are too small beside others")
        middle = frexp(sqrt(p_most * p_least))[1]
        exponents = [frexp(norm)[1] - middle for norm in q_norms]
        scales = [ldexp(1.0, -exponent) for exponent in exponents]
        qs = [tuple([x * scale for x in q]) for q, scale in zip(qs, scales, strict=True)]
        q_norms = [norm * scale for norm, scale in zip(q_norms, scales, strict=True)]
        halves = [ldexp(0.5, exponent) for exponent in exponents]
    p_squares, q_squares = [norm * norm for norm in p_norms], [norm * norm for norm in q_norms]
    most = max(q_squares)
    grids = [ldexp(24.0, frexp(square + most)[1]) for square in p_squares]
    return p_squares, q_norms, q_squares, grids, qs, halves


def _extent(sizes: list[float]) -> tuple[float, float]:
    """The least that is not 0, and the greatest."""
    if not isfinite(sum(sizes)):
        raise ArithmeticError("a vector is not finite")
    return min(filter(None, sizes), default=1.0), max(sizes) or 1.0
