"""Capture: trace a step once on symbolic matrices, improve the resulting Program, and replay it.

`pycrograd_core.capture` is both this package and the function `capture(step)` of it, whichever is imported first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .captured import Captured, capture
    from .program import Instruction, Program, Region, Value

_HOMES = {"Captured": "captured", "capture": "captured"} | dict.fromkeys(
    ("Instruction", "Program", "Region", "Value"), "program"
)

__all__ = ["Captured", "Instruction", "Program", "Region", "Value", "capture"]


class _Package(ModuleType):
    """A package that is called like the function it is named after."""

    def __call__(self, function: Callable[..., Any]) -> Captured:
        """`capture(function)`."""
        from .captured import capture

        return capture(function)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


sys.modules[__name__].__class__ = _Package
