"""Limits of parameters, written once, as annotations: `Annotated[float, Gt(0)]`, `Literal["a", "b"]`.

Configurations are checked against them with a place in the file; `limited` checks calls from Python.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, wraps
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from .errors import OptionError

F = TypeVar("F", bound=Callable[..., Any])

_CHECKS: dict[type, tuple[str, Callable[[Any, Any], bool]]] = {
    Gt: ("greater than {.gt}", lambda value, limit: value > limit.gt),
    Ge: ("at least {.ge}", lambda value, limit: value >= limit.ge),
    Lt: ("less than {.lt}", lambda value, limit: value < limit.lt),
    Le: ("at most {.le}", lambda value, limit: value <= limit.le),
}


def limited(function: F) -> F:
    """Check the annotated limits of a function's arguments at every call. Raises OptionError, naming the argument."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        signature, hints = _declared(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            objection = _objection(hints.get(name), value)
            if objection:
                owner = function.__qualname__.removesuffix(".__init__")
                raise OptionError(f"{owner}: {name} must be {objection}, not {value!r}")
        return function(*args, **kwargs)

    return checked  # type: ignore[return-value]


@cache
def _declared(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """A signature, and those of its annotations that set limits."""
    hints = get_type_hints(function, include_extras=True)
    return inspect.signature(function), {
        n: hint for n, hint in hints.items() if get_origin(hint) in (Annotated, Literal)
    }


def _objection(hint: Any, value: Any) -> str | None:
    """What a value should be and is not, in words."""
    if get_origin(hint) is Literal:
        return None if value in get_args(hint) else " or ".join(map(repr, get_args(hint)))
    for limit in get_args(hint)[1:]:
        words, holds = _CHECKS[type(limit)]
        if not holds(value, limit):
            return words.format(limit)
    return None
