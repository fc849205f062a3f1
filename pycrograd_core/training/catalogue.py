"""All that a configuration can name: the core's own factories, and those of plugins."""

from __future__ import annotations

from functools import cache

from pycrograd_core.config import Registries
from pycrograd_core.data import datasets
from pycrograd_core.nn import layers, models
from pycrograd_core.optim import optimisers, schedules
from pycrograd_core.plugins import installed

from .callback import callbacks
from .losses import losses


@cache
def registries() -> Registries:
    """The registries, extended once by the hooks of installed plugins."""
    found = Registries(datasets, layers, models, losses, optimisers, schedules, callbacks)
    for kind, registry in vars(found).items():
        installed().extend(f"pycrograd_register_{kind}", registry)
    return found
