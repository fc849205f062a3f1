"""The arguments of a step: which tensors are among them, and what else a program depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycrograd_core.errors import CaptureError
from pycrograd_core.matrix import Matrix
from pycrograd_core.tensor import Tensor


@dataclass(frozen=True)
class Given:
    """One call. Two with equal keys can share a program; `call(function)` passes the arguments on."""

    tensors: list[Tensor]
    key: Any
    call: Callable[[Callable[..., Any]], Any] | None
    matrix: type[Matrix] | None = None


def flatten(args: Sequence[Any], kwargs: Mapping[str, Any], upload: Callable[[Any], Tensor]) -> Given:
    """The tensors among the arguments. `upload` makes one of a host array."""
    if not kwargs and all([type(x) is Tensor and not x.requires_grad for x in args]):  # noqa: C419  a list is faster
        tensors = list(args)
        key: Any = tuple([(x.shape, x.value.dtype, type(x.value)) for x in tensors])
        return Given(tensors, (key, _shared(tensors)), None)
    found: list[Tensor] = []
    parts: list[Any] = []

    def taken(value: Any) -> Any:
        if isinstance(value, Tensor):
            hooks, accumulates = tuple(value.hooks or ()), value.requires_grad and value.grad is not None
            parts.append((value.shape, value.dtype, type(value.value), value.requires_grad, accumulates, hooks))
            found.append(value)
            return value
        if isinstance(value, (list, tuple)):
            parts.append((type(value), len(value)))
            items = [taken(each) for each in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if isinstance(value, dict):
            parts.append((dict, tuple(value)))
            return {key: taken(each) for key, each in value.items()}
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()  # a number of NumPy's
        if value is None or isinstance(value, (bool, int, float, str)):
            parts.append((type(value), repr(value)))
            return value
        if hasattr(value, "__array__") or hasattr(value, "__array_interface__") or isinstance(value, memoryview):
            return taken(upload(value))
        raise CaptureError(
            "a captured step takes tensors, host arrays, numbers and text, and tuples, lists and dictionaries of them; "
            f"not a {type(value).__name__}: let the step close over it"
        )

    passed = [taken(x) for x in args]
    named = {name: taken(x) for name, x in kwargs.items()}
    return Given(found, (tuple(parts), tuple(named), _shared(found)), lambda function: function(*passed, **named))


def _shared(tensors: Sequence[Tensor]) -> Any:
    """Which arguments share memory, if any do."""
    ids = [id(x.value) for x in tensors]
    return None if len(set(ids)) == len(ids) else tuple(map(ids.index, ids))
