"""Scalars of the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema), for reading and for writing.

PyYAML implements YAML 1.1, in which `no` is false, `1e-3` is text and `190:20` is a number in base 60.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import yaml

Scalar = str | int | float | bool | None

_LARGEST = 2**63 - 1


def _integer(text: str) -> int:
    # Python refuses to convert thousands of digits, and nothing here counts beyond 64 bits
    value = int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)) if len(text) < 100 else _LARGEST + 1
    if abs(value) > _LARGEST:
        raise ValueError("expected a whole number that fits 64 bits")
    return value


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


# tag, what plain text has it, and the value of that text; the first that matches counts
_SCHEMA: tuple[tuple[str, str, Callable[[str], Scalar]], ...] = (
    ("null", r"(null|Null|NULL|~|)", lambda _: None),
    ("bool", r"(true|True|TRUE|false|False|FALSE)", lambda text: text.lower() == "true"),
    ("int", r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", _integer),
    ("float", r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))", _real),
)
_TAG = "tag:yaml.org,2002:"
_PATTERNS = [(_TAG + name, re.compile(pattern + r"\Z")) for name, pattern, _ in _SCHEMA]
_VALUES = {_TAG + name: value for name, _, value in _SCHEMA}


def use_core_schema(resolver: type[yaml.resolver.BaseResolver]) -> None:
    """Make a PyYAML loader or dumper tag plain text as YAML 1.2 does."""
    resolver.yaml_implicit_resolvers = {}
    for tag, pattern in _PATTERNS:
        resolver.add_implicit_resolver(tag, pattern, None)


def scalar(node: yaml.ScalarNode) -> Scalar:
    """The value of a scalar. Raises ValueError, with what was expected, for an integer beyond 64 bits."""
    convert = _VALUES.get(node.tag)
    return convert(node.value) if convert else str(node.value)


def reads_as_text(text: str) -> bool:
    """Whether plain text needs no quotes to be read as text."""
    return not any(pattern.match(text) for _, pattern in _PATTERNS)
