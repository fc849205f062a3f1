"""What a value should have been and what was found, in words."""

from __future__ import annotations

import math
import re
import reprlib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pycrograd_core.registry import nearest

from .mistakes import combined
from .scalars import reads_as_text

if typing.TYPE_CHECKING:
    from pydantic import ValidationError

    from pycrograd_core.errors import ConfigError

    from .node import Node

_TYPES = {
    Any: "a value",
    bool: "true or false",
    float: "a number",
    int: "a whole number",
    Path: "a path",
    str: "text",
    types.NoneType: "null",
}
# the limits of annotated_types (and of pydantic.Field), by attribute
_LIMITS = {
    "gt": "greater than {}",
    "ge": "of at least {}",
    "lt": "less than {}",
    "le": "of at most {}",
    "multiple_of": "divisible by {}",
    "min_length": "of length {} or more",
    "max_length": "of length {} or less",
}
# mistakes that the annotation's words tell; for any other, a custom check's, pydantic has the message
_DESCRIBED = re.compile(
    r".*_(type|parsing|short|long)|(greater|less)_than.*|multiple_of|literal_error|enum|missing|int_from_float"
)


def describe(annotation: Any) -> str:
    """What a value of the annotated type is, in words: "a whole number greater than 0"."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        limits = " and ".join(_limits(arguments[1:]))
        # the limits are those of the list, not of each element
        whole, *each = describe(arguments[0]).split(", each ", 1)
        return ", each ".join([f"{whole} {limits}".rstrip(), *each])
    if choices := _choices(annotation):
        return " or ".join(map(repr, choices))
    if origin in (Union, types.UnionType):
        return " or ".join(map(describe, arguments))
    if _is_list(origin or annotation):
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return f"a list of {len(arguments)} ({', '.join(map(describe, arguments))})"
        return f"a list, each {describe(arguments[0])}" if arguments else "a list"
    if _is_mapping(origin or annotation):
        return "a mapping"
    return _TYPES.get(annotation) or str(getattr(annotation, "__name__", annotation))


def show(value: Any) -> str:
    """What was found, as the configuration would write it."""
    if isinstance(value, str):
        quoted = reprlib.repr(value)
        return quoted if reads_as_text(value) else f"the text {quoted}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return {type(None): "nothing", dict: "a mapping"}.get(type(value), repr(value))


def explain(error: ValidationError, annotation: Any, node: Node) -> ConfigError:
    """The mistakes that pydantic found in a value of the annotated type, each at its own place."""
    found: dict[str, ConfigError] = {}
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        part, expected = node, annotation
        for step in each["loc"]:
            # steps that lead nowhere name an arm of a union, or an element that is missing
            if str(step) in part.children:
                part, expected = part.children[str(step)], _element(expected, step)
        if expected is not None and _DESCRIBED.fullmatch(each["type"]):
            sentence = expectation(expected, part)
        else:
            sentence = each["msg"].removeprefix("Value error, ")
        found.setdefault(part.path, part.error(sentence))
    # a whole and a part of it at once: the whole did not fit one arm of a union, the part another, better one
    parts = [mistake for path, mistake in found.items() if not any(other.startswith(f"{path}.") for other in found)]
    return combined(parts)


def expectation(annotation: Any, node: Node) -> str:
    """The sentence for a value that is not of the annotated type."""
    arms = list(_arms(annotation))
    choices = [str(choice) for arm in arms for choice in _choices(arm)]
    if isinstance(node.value, str) and choices and all(_choices(arm) or arm is types.NoneType for arm in arms):
        return f"unknown value {node.value!r}; {nearest(node.value, choices)}"
    quote = "; put it in quotes" if str in arms and isinstance(node.value, int | float) else ""
    return f"expected {describe(annotation)}, found {show(node.value)}{quote}"


def _limits(metadata: tuple[Any, ...]) -> Iterator[str]:
    for constraint in metadata:
        yield from _limits(tuple(getattr(constraint, "metadata", ())))  # pydantic.Field
        length = getattr(constraint, "min_length", None)
        if length and length == getattr(constraint, "max_length", None):
            yield f"of length {length}"
            continue
        for attribute, words in _LIMITS.items():
            if (limit := getattr(constraint, attribute, None)) is not None:
                yield words.format(limit)


def _arms(annotation: Any) -> Iterator[Any]:
    """The types of a union, without their constraints."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        yield from _arms(arguments[0])
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _arms(argument)
    else:
        yield annotation


def _choices(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is Literal:
        return list(typing.get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [member.value for member in annotation]
    return []


def _element(annotation: Any, step: str | int) -> Any:
    """The type of a list's or mapping's element, or None if the annotation does not tell."""
    for arm in _arms(annotation):
        origin, arguments = typing.get_origin(arm), typing.get_args(arm)
        if origin and arguments and _is_mapping(origin):
            return arguments[1]
        if origin and arguments and _is_list(origin):
            fixed = origin is tuple and arguments[-1] is not Ellipsis
            return arguments[int(step)] if fixed else arguments[0]
    return None


def _is_mapping(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Mapping)


def _is_list(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Iterable) and not issubclass(kind, str | bytes | Mapping)
