"""The keys that a mapping may have, taken from a signature: names, types, limits and defaults are declared only there.

YAML's plain data are those of JSON, so pydantic's strict JSON mode has the right rules: a whole number serves as a
number, a list as a tuple, text as a path; `true` is not 1, and "1" is not 1.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import math
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from pycrograd_core.errors import ConfigError, PluginError
from pycrograd_core.registry import nearest

from .explain import describe, explain, show
from .mistakes import combined
from .node import Node, Place

Reader = Callable[[Node], Any]


class Default(Enum):
    """What stands for the value of a key that is not given, where no plain value does."""

    REQUIRED = "required"
    OMITTED = "omitted"  # the factory has a default that a configuration cannot write


@dataclass(frozen=True)
class Field:
    """One key of a mapping: what it is in words, how to read it, and its value if it is not given."""

    words: str
    read: Reader
    default: Any = Default.REQUIRED


def read_mapping(node: Node, fields: Mapping[str, Field], place: Place | None = None) -> dict[str, Any]:
    """The values of all fields. Raises ConfigError for every mistake; that of a missing key is at `place`."""
    if not isinstance(node.value, dict):
        raise node.error(f"expected a mapping with keys such as {', '.join(fields)}, found {show(node.value)}")
    unknown = {key: child for key, child in node.value.items() if key not in fields}
    mistakes = [node.error(f"unknown key {key!r}; {nearest(key, fields)}", child.key) for key, child in unknown.items()]
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in node.value:
            try:
                values[key] = field.read(node.value[key])
            except ConfigError as mistake:
                mistakes.append(mistake)
        elif field.default is Default.REQUIRED:
            # a misspelt key is one mistake, not two
            if not difflib.get_close_matches(key, unknown):
                mistakes.append(node.error(f"missing the key {key!r}: {field.words}", place))
        elif field.default is not Default.OMITTED:
            values[key] = field.default
    if mistakes:
        raise combined(mistakes)
    return values


def fields_of(factory: Callable[..., Any], parameters: Iterable[inspect.Parameter]) -> dict[str, Field]:
    """A field for each of these parameters of the factory. Raises PluginError for an annotation that has no meaning."""
    parameters = list(parameters)

    def annotated() -> None:
        """Carries the annotations: those of parameters that the run supplies need not exist at run time."""

    annotated.__annotations__ = {
        parameter.name: Any if parameter.annotation is parameter.empty else parameter.annotation
        for parameter in parameters
    }
    try:
        hints = typing.get_type_hints(annotated, _namespace(factory), include_extras=True)
    except (NameError, AttributeError) as error:
        name = getattr(factory, "__qualname__", factory)
        raise PluginError(
            f"{factory.__module__}: the annotations of {name} cannot be read: {error}; "
            "import what they name outside `if TYPE_CHECKING`"
        ) from error
    return {parameter.name: _typed(hints[parameter.name], parameter.default) for parameter in parameters}


def typed(annotation: Any) -> Reader:
    """A reader of values of the annotated type."""

    def read(node: Node) -> Any:
        for leaf in node.leaves():
            if isinstance(leaf.value, float) and not math.isfinite(leaf.value):
                raise leaf.error(f"expected a finite number, found {show(leaf.value)}")
        try:
            return _validate(annotation, node.plain())
        except ValidationError as error:
            raise explain(error, annotation, node) from None
        except PydanticUserError:
            raise node.error(f"a configuration cannot give {describe(annotation)}", node.key) from None

    return read


def _typed(annotation: Any, default: Any) -> Field:
    return Field(describe(annotation), typed(annotation), _default(annotation, default))


def _default(annotation: Any, default: Any) -> Any:
    """The default as if the configuration had given it, so that what a run records can be read again."""
    if default is inspect.Parameter.empty:
        return Default.REQUIRED
    try:
        return _validate(annotation, to_jsonable_python(default))
    except (ValueError, PydanticUserError, PydanticSerializationError):  # ValueError: invalid, or infinite
        return Default.OMITTED


def _validate(annotation: Any, value: Any) -> Any:
    return TypeAdapter(annotation).validate_json(json.dumps(value, allow_nan=False), strict=True)


def _namespace(factory: Callable[..., Any]) -> dict[str, Any]:
    """The globals in which the factory's annotations were written."""
    function: Any = inspect.unwrap(factory)
    if isinstance(function, functools.partial):
        return _namespace(function.func)
    if isinstance(function, type):
        function = inspect.getattr_static(function, "__init__")
    elif not hasattr(function, "__globals__"):
        function = inspect.getattr_static(function, "__call__")
    return getattr(inspect.unwrap(function), "__globals__", {})
