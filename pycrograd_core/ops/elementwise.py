"""Arithmetic and comparisons, element by element. Extents of 1 broadcast; the engine sums gradients back."""

from __future__ import annotations

from typing import Any

from pycrograd_core.op import Op, define

from .samples import Choice, Sample, Uniform, binary, unary
from .shapes import elementwise, same

where: Op = define(
    "where",
    "Where the mask is not 0 the first value, else the second.",
    elementwise,
    (None, lambda g, y, c, a, b: where(c, g, 0.0), lambda g, y, c, a, b: where(c, 0.0, g)),
    samples=(
        Sample((Choice(3, 4), Uniform(3, 4), Uniform(3, 4))),
        Sample((Choice(3, 1), Uniform(1, 4), Uniform(1, 1))),
    ),
)
exp = define("exp", "e to the power of each element.", same, (lambda g, y, x: g * y,), samples=unary())
log = define("log", "Natural logarithm.", same, (lambda g, y, x: g / x,), samples=unary(0.2, 4))
sqrt = define("sqrt", "Square root.", same, (lambda g, y, x: g * 0.5 / y,), samples=unary(0.2, 4))
tanh = define("tanh", "Hyperbolic tangent.", same, (lambda g, y, x: g * (1.0 - y * y),), samples=unary())
add = define("add", "a + b.", elementwise, (lambda g, y, a, b: g, lambda g, y, a, b: g), samples=binary())
subtract = define("subtract", "a - b.", elementwise, (lambda g, y, a, b: g, lambda g, y, a, b: -g), samples=binary())
multiply = define(
    "multiply", "a · b.", elementwise, (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a), samples=binary()
)
divide = define(
    "divide",
    "a / b.",
    elementwise,
    (lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y / b)),
    samples=binary(-2, 2, other_low=0.5),
)


def _power_base(g: Any, y: Any, a: Any, b: Any) -> Any:
    exponent = where(equal(b, 0.0), 1.0, b - 1.0)  # of x⁰ the gradient is 0, also at x = 0
    return g * b * power(a, exponent)


def _power_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    return g * y * log(where(equal(a, 0.0), 1.0, a))  # 0ᵇ = 0 for every b > 0; of a < 0 it is nan


power = define(
    "power",
    "a to the power of b.",
    elementwise,
    (_power_base, _power_exponent),
    samples=binary(0.2, 2.0, other_low=-2.0),
    tolerance=5e-6,
)
negative = define(
    "negative", "-x.", same, (lambda g, y, x: -g,), samples=unary(), decomposition=lambda x: multiply(x, -1.0)
)
abs = define(
    "abs",
    "Absolute value; the gradient at 0 is 0.",
    same,
    (lambda g, y, x: g * (greater(x, 0.0) - greater(0.0, x)),),
    samples=unary(),
    decomposition=lambda x: maximum(x, -x),
)
maximum: Op = define(
    "maximum",
    "The greater of a and b; where they are equal each gets half of the gradient.",
    elementwise,
    (
        lambda g, y, a, b: g * (greater(a, b) + equal(a, b) * 0.5),
        lambda g, y, a, b: g * (greater(b, a) + equal(a, b) * 0.5),
    ),
    samples=binary(),
)
minimum = define(
    "minimum",
    "The lesser of a and b; where they are equal each gets half of the gradient.",
    elementwise,
    (
        lambda g, y, a, b: g * (greater(b, a) + equal(a, b) * 0.5),
        lambda g, y, a, b: g * (greater(a, b) + equal(a, b) * 0.5),
    ),
    samples=binary(),
    decomposition=lambda a, b: -maximum(-a, -b),
)
clip = define(
    "clip",
    "x limited to low … high; the gradient passes where low ≤ x ≤ high.",
    same,
    (lambda g, y, x, low, high: where(greater_equal(x, low) * less_equal(x, high), g, 0.0),),
    samples=(Sample((Uniform(3, 5),), {"low": -0.7, "high": 1.1}),),
    decomposition=lambda x, low, high: minimum(maximum(x, low), high),
)

# Comparisons give a mask, 1 or 0 in the operands' dtype, that has no gradient. A comparison with nan is 0. ----------


def _number(x: Any) -> Any:
    """1 where x is not nan: every number is above -inf or below inf."""
    return maximum(greater(x, float("-inf")), greater(float("inf"), x))


def _equal(a: Any, b: Any) -> Any:
    return (1.0 - greater(a, b) - greater(b, a)) * _number(a) * _number(b)


greater: Op = define("greater", "1 where a > b, else 0.", elementwise, (None, None), samples=binary())
less = define(
    "less", "1 where a < b, else 0.", elementwise, (None, None),
    samples=binary(), decomposition=lambda a, b: greater(b, a),
)  # fmt: skip
equal: Op = define("equal", "1 where a = b, else 0.", elementwise, (None, None), samples=binary(), decomposition=_equal)
not_equal = define(
    "not_equal", "1 where a ≠ b (also where either is nan), else 0.", elementwise, (None, None),
    samples=binary(), decomposition=lambda a, b: 1.0 - equal(a, b),
)  # fmt: skip
greater_equal: Op = define(
    "greater_equal", "1 where a ≥ b, else 0.", elementwise, (None, None),
    samples=binary(), decomposition=lambda a, b: greater(a, b) + equal(a, b),
)  # fmt: skip
less_equal: Op = define(
    "less_equal", "1 where a ≤ b, else 0.", elementwise, (None, None),
    samples=binary(), decomposition=lambda a, b: greater(b, a) + equal(a, b),
)  # fmt: skip
