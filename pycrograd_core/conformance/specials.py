"""What IEEE 754 says of ops at infinities, nan and signed zeros: op by op, arguments and result.

Each line holds for a kernel, for an override and for a decomposition alike.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

Line = tuple[float, ...]

UNARY: dict[str, list[Line]] = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (1000.0, inf), (-1000.0, 0.0), (inf, inf), (-inf, 0.0), (nan, nan)],
    "log": [(1.0, 0.0), (0.0, -inf), (-0.0, -inf), (-1.0, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "sqrt": [(4.0, 2.0), (0.0, 0.0), (-0.0, -0.0), (-1.0, nan), (-inf, nan), (inf, inf), (nan, nan)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (1000.0, 1.0), (inf, 1.0), (-inf, -1.0), (nan, nan)],
    "negative": [(2.0, -2.0), (0.0, -0.0), (-0.0, 0.0), (inf, -inf), (-inf, inf), (nan, nan)],
    "abs": [(-2.0, 2.0), (-inf, inf), (inf, inf), (nan, nan)],
    "relu": [(2.0, 2.0), (-2.0, 0.0), (inf, inf), (-inf, 0.0), (nan, nan)],
    "sigmoid": [(0.0, 0.5), (1000.0, 1.0), (-1000.0, 0.0), (inf, 1.0), (-inf, 0.0), (nan, nan)],
    "gelu": [(0.0, 0.0), (1000.0, 1000.0), (-1000.0, 0.0), (inf, inf), (nan, nan)],
}
BINARY: dict[str, list[Line]] = {
    "add": [(1.0, 2.0, 3.0), (-0.0, -0.0, -0.0), (0.0, -0.0, 0.0), (inf, 1.0, inf), (inf, -inf, nan), (nan, 1.0, nan)],
    "subtract": [(1.0, 2.0, -1.0), (-0.0, 0.0, -0.0), (0.0, inf, -inf), (inf, inf, nan), (1.0, nan, nan)],
    "multiply": [(2.0, 3.0, 6.0), (-0.0, 3.0, -0.0), (-2.0, inf, -inf), (0.0, inf, nan), (nan, 0.0, nan)],
    "divide": [
        (6.0, 3.0, 2.0), (1.0, 0.0, inf), (-1.0, 0.0, -inf), (1.0, -0.0, -inf), (-1.0, -0.0, inf), (0.0, 0.0, nan),
        (-0.0, 0.0, nan), (nan, 0.0, nan), (inf, 0.0, inf), (inf, inf, nan), (1.0, inf, 0.0), (-1.0, inf, -0.0),
        (-0.0, 5.0, -0.0),
    ],
    "power": [
        (2.0, 3.0, 8.0), (-2.0, 3.0, -8.0), (-2.0, 2.0, 4.0), (-2.0, 0.5, nan), (4.0, 0.5, 2.0), (2.0, -1.0, 0.5),
        (0.0, 0.0, 1.0), (nan, 0.0, 1.0), (1.0, nan, 1.0), (2.0, nan, nan), (nan, 1.0, nan), (0.0, 2.0, 0.0),
        (0.0, -1.0, inf), (-0.0, -1.0, -inf), (-0.0, -2.0, inf), (10.0, 400.0, inf), (-10.0, 401.0, -inf),
        (10.0, -400.0, 0.0), (inf, -1.0, 0.0), (-inf, 3.0, -inf), (-1.0, inf, 1.0), (2.0, inf, inf), (0.5, inf, 0.0),
    ],
    "maximum": [
        (1.0, 2.0, 2.0), (2.0, 1.0, 2.0), (-3.0, -2.0, -2.0), (-inf, 1.0, 1.0), (inf, 1.0, inf),
        (nan, 1.0, nan), (1.0, nan, nan), (nan, inf, nan),
    ],
    "minimum": [(1.0, 2.0, 1.0), (2.0, 1.0, 1.0), (inf, 1.0, 1.0), (nan, 1.0, nan), (1.0, nan, nan), (-inf, nan, nan)],
    "greater": [(2.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 2.0, 0.0), (0.0, -0.0, 0.0), (inf, 1.0, 1.0),
                (inf, inf, 0.0), (1.0, -inf, 1.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "less": [(1.0, 2.0, 1.0), (1.0, 1.0, 0.0), (-0.0, 0.0, 0.0), (-inf, inf, 1.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "equal": [(1.0, 1.0, 1.0), (1.0, 2.0, 0.0), (0.0, -0.0, 1.0), (inf, inf, 1.0), (-inf, -inf, 1.0),
              (inf, -inf, 0.0), (inf, 1.0, 0.0), (nan, nan, 0.0), (nan, 1.0, 0.0), (1.0, nan, 0.0)],
    "not_equal": [(1.0, 1.0, 0.0), (1.0, 2.0, 1.0), (0.0, -0.0, 0.0), (inf, inf, 0.0), (nan, nan, 1.0),
                  (1.0, nan, 1.0)],
    "greater_equal": [(2.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0, 0.0), (-0.0, 0.0, 1.0), (inf, inf, 1.0),
                      (nan, nan, 0.0), (nan, 1.0, 0.0)],
    "less_equal": [(2.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0, 2.0, 1.0), (-inf, -inf, 1.0), (nan, nan, 0.0),
                   (1.0, nan, 0.0)],
    "relu_gradient": [(5.0, 2.0, 5.0), (5.0, 0.0, 0.0), (5.0, -0.0, 0.0), (nan, 0.0, 0.0), (inf, -1.0, 0.0),
                      (nan, 1.0, nan), (5.0, nan, 0.0)],
}  # fmt: skip
EITHER_ZERO = {"abs", "relu", "maximum", "minimum", "gelu"}  # IEEE 754 leaves the sign of their zeros open
BEYOND: dict[str, Callable[[float, float], list[Line]]] = {  # of the dtype's greatest number and its least normal one
    "add": lambda big, tiny: [(big, big, inf), (-big, -big, -inf), (big, tiny, big)],
    "subtract": lambda big, tiny: [(-big, big, -inf), (big, big, 0.0)],
    "multiply": lambda big, tiny: [(big, 2.0, inf), (big, -big, -inf), (tiny, tiny, 0.0), (-tiny, tiny, -0.0)],
    "divide": lambda big, tiny: [(big, 0.5, inf), (-big, tiny, -inf), (tiny, big, 0.0), (big, big, 1.0)],
    "power": lambda big, tiny: [(big, 2.0, inf), (-big, 3.0, -inf), (tiny, 2.0, 0.0), (big, 1.0, big)],
    "maximum": lambda big, tiny: [(big, inf, inf), (-big, -inf, -big), (tiny, 0.0, tiny)],
    "greater": lambda big, tiny: [(inf, big, 1.0), (tiny, 0.0, 1.0), (-tiny, 0.0, 0.0), (big, -big, 1.0)],
    "equal": lambda big, tiny: [(big, inf, 0.0), (tiny, 0.0, 0.0), (big, big, 1.0)],
}  # fmt: skip
LINES: list[tuple[list[float], float, int]] = [  # a line, its greatest element, and where the first of those is
    ([-3.0, -2.0, -5.0], -2.0, 1),  # nothing starts at 0
    ([-inf, -inf], -inf, 0),
    ([1.0, nan, inf, nan], nan, 1),
    ([nan, 1.0], nan, 0),
    ([2.0, 7.0, 7.0], 7.0, 1),  # the first of equals
    ([0.0, -0.0], 0.0, 0),
    ([5.0], 5.0, 0),
]
