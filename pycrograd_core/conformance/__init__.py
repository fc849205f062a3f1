"""The conformance kit: what holds a backend to the contract, wherever it comes from.

`pycrograd check BACKEND` runs it, and so does a test class of the backend's own:

    class TestMine(BackendConformance):
        backend = "mine"

It asks for capabilities, never for names. Importing this package imports nothing heavy, since pytest does so wherever
Pycrograd is installed: names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .check import Check, Evidence
    from .pytest_plugin import BackendConformance
    from .subject import Subject
    from .tiers import checks

_HOMES = {
    "BackendConformance": "pytest_plugin",
    "Check": "check",
    "Evidence": "check",
    "Subject": "subject",
    "checks": "tiers",
}

__all__ = ["BackendConformance", "Check", "Evidence", "Subject", "checks"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
