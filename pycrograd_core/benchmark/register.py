"""Who takes part."""

from __future__ import annotations

from collections.abc import Mapping

from pycrograd_core.plugins import installed
from pycrograd_core.registry import Registry

from .problem import Contestant


def contestants(own: Mapping[str, Contestant]) -> Registry:
    """A benchmark's own contestants, then those of plugins. What is wrong with a plugin is in the registry's notes."""
    found = Registry("contestant")
    for name, contestant in own.items():
        found.register(name, contestant)
    installed().extend("pycrograd_register_contestants", found)
    return found
