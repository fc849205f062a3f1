"""Functions of single numbers by IEEE 754 and C99's Annex F: infinities and nan where Python's own would raise."""

from __future__ import annotations

import math
from math import copysign, inf, isnan, nan


def exp(x: float) -> float:
    """The exponential; inf where it is beyond a double."""
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def log(x: float) -> float:
    """Natural logarithm: log 0 = -inf, of a negative number nan."""
    if x == 0.0:
        return -inf
    return nan if x < 0.0 else math.log(x)


def sqrt(x: float) -> float:
    """Square root, of a negative number nan."""
    return nan if x < 0.0 else math.sqrt(x)


def divide(x: float, y: float) -> float:
    """The quotient: of a number by 0 an infinity with the product of their signs, of 0 or nan by 0 nan."""
    if y != 0.0:
        return x / y
    if x == 0.0 or isnan(x):
        return nan
    return copysign(inf, x) * copysign(1.0, y)


def power(x: float, y: float) -> float:
    """C's pow: nan for a negative base with a fractional exponent. A result keeps its sign as it becomes infinite."""
    odd = y % 2.0 == 1.0 if math.isfinite(y) else False
    try:
        return math.pow(x, y)
    except OverflowError:
        return -inf if x < 0.0 and odd else inf
    except ValueError:
        if x == 0.0:  # and y < 0
            return copysign(inf, x) if odd else inf
        return nan


def maximum(x: float, y: float) -> float:
    """The greater of x and y; nan if either is nan."""
    return x if x > y or isnan(x) else y


def minimum(x: float, y: float) -> float:
    """The lesser of x and y; nan if either is nan."""
    return x if x < y or isnan(x) else y


def sigmoid(x: float) -> float:
    """1 / (1 + e⁻ˣ), in the form whose exponential cannot overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)
