"""Elementwise ops as Python source, for fused loops: `{0}`, `{1}` … are the operands, other names are parameters.

Each expression gives the bits that the op's kernel gives. Where Python raises (1.0 / 0.0, log(0.0)) the region is run
again by the kernels, which know what IEEE 754 says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import repeat
from struct import Struct
from typing import TYPE_CHECKING, Any

from . import ieee

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Instruction, Value

EXPRESSIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "abs": "fabs({0})",
    "exp": "exp({0})",
    "log": "log({0})",
    "sqrt": "sqrt({0})",
    "tanh": "tanh({0})",
    "power": "power({0}, {1})",
    "sigmoid": "sigmoid({0})",
    "maximum": "{0} if {0} > {1} or {0} != {0} else {1}",
    "minimum": "{0} if {0} < {1} or {0} != {0} else {1}",
    "relu": "0.0 if {0} <= 0.0 else {0}",
    "relu_gradient": "{0} if {1} > 0.0 else 0.0",
    "where": "{1} if {0} else {2}",
    "greater": "1.0 if {0} > {1} else 0.0",
    "less": "1.0 if {0} < {1} else 0.0",
    "equal": "1.0 if {0} == {1} else 0.0",
    "not_equal": "1.0 if {0} != {1} else 0.0",
    "greater_equal": "1.0 if {0} >= {1} else 0.0",
    "less_equal": "1.0 if {0} <= {1} else 0.0",
    "broadcast_to": "{0}",
    "sgd_update": "{0} - {2} * {1}",
    "accumulate": "{0} * {decay} + {1} * {weight}",
    "adam_update": "{0} - {3} * ({1} / {4}) / (sqrt({2} / {5}) + {epsilon})",
}

_SINGLE = Struct("f")
CHOICES = {"relu_gradient": (0,), "where": (1, 2)}  # operands that are computed only where they are chosen

COMPARISONS = frozenset({"greater", "less", "equal", "not_equal", "greater_equal", "less_equal"})  # of rounded numbers


def single(x: float) -> float:
    """The number as float32 holds it. Most of a loop is left in doubles, but `equal` would tell."""
    rounded: float = _SINGLE.unpack(_SINGLE.pack(x))[0]
    return rounded


# What the expressions call.
FUNCTIONS: dict[str, Any] = {
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "fabs": math.fabs,
    "power": math.pow,
    "sigmoid": ieee.sigmoid,
    "single": single,
    "inf": math.inf,
    "nan": math.nan,
}


def expression(instruction: Instruction, operands: Sequence[str]) -> str:
    """The op applied to operands, each a name, a number or a parenthesised expression."""
    numbers = {name: repr(float(value)) for name, value in instruction.params.items() if name not in ("rows", "cols")}
    return EXPRESSIONS[instruction.op.name].format(*operands, **numbers)


def mentions(instruction: Instruction) -> Iterator[Value]:
    """Its inputs, each as often as its expression names it."""
    for position, value in enumerate(instruction.inputs):
        yield from repeat(value, EXPRESSIONS[instruction.op.name].count(f"{{{position}}}"))
