"""Elementwise ops as OpenCL C: `{0}`, `{1}` … are the operands, other names are parameters.

Every expression is written so that it holds for scalars and for vectors of any length. A comparison gives 1 for scalars
and -1 for vectors, and `?:` takes either for true. Products with a sum are left to the compiler to contract where the
device has an instruction for it: `fma` where it has none is a slow function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .c_types import CType

_AT_LEAST = "(({low} > {0}) | ({low} != {low}) ? {low} : {0})"

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
    "tanh": "{0} > {flat} ? {one} : ({0} < -{flat} ? -{one} : tanh({0}))",
    "power": "pow({0}, {1})",
    "sigmoid": "{one} / ({one} + exp(-{0}))",
    "maximum": "({0} > {1}) | ({0} != {0}) ? {0} : {1}",
    "minimum": "({0} < {1}) | ({0} != {0}) ? {0} : {1}",
    "relu": "{zero} > {0} ? {zero} : {0}",
    "relu_gradient": "{1} > {zero} ? {0} : {zero}",
    "clip": f"({{high}} < {_AT_LEAST}) | ({{high}} != {{high}}) ? {{high}} : {_AT_LEAST}",
    "where": "{0} != {zero} ? {1} : {2}",
    "greater": "{0} > {1} ? {one} : {zero}",
    "less": "{0} < {1} ? {one} : {zero}",
    "equal": "{0} == {1} ? {one} : {zero}",
    "not_equal": "{0} != {1} ? {one} : {zero}",
    "greater_equal": "{0} >= {1} ? {one} : {zero}",
    "less_equal": "{0} <= {1} ? {one} : {zero}",
    "broadcast_to": "{0}",
    "dropout": "{0} * ({1} * {scale})",
    "sgd_update": "{0} - {2} * {1}",
    "accumulate": "{0} * {decay} + {1} * {weight}",
    "adam_update": "{0} - {3} * (({1} / {4}) / (sqrt({2} / {5}) + {epsilon}))",
}
ELEMENTWISE = frozenset(EXPRESSIONS)
CONSTANTS = frozenset({"flat", "one", "zero"})  # of the expressions, by the type

_FLAT = {"int": 0, "float": 10.0, "double": 20.0}  # beyond, tanh is ±1, which not every library quite reaches


def expression(op: str, operands: Sequence[str], params: Mapping[str, Any], ctype: CType) -> str:
    """The op applied to operands of `ctype`, each a name or a parenthesised expression; in parentheses itself.

    A parameter is a number, or a name that holds one as `ctype`.
    """
    values = {"one": 1.0, "zero": 0.0, "flat": _FLAT[ctype.scalar], **numbers(op, params)}
    written = {name: value if isinstance(value, str) else ctype.number(value) for name, value in values.items()}
    return f"({EXPRESSIONS[op].format(*operands, **written)})"


def numbers(op: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that an op's expression needs, by the names that it has for them."""
    if op == "broadcast_to":  # its parameters are the shape
        return {}
    if op == "dropout" and "rate" in params:
        return {"scale": 1.0 / (1.0 - params["rate"])}
    return dict(params)
