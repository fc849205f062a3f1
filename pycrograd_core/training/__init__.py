"""Training runs: the loop, checkpoints, the run's folder, callbacks, and what a configuration becomes.

Importing this package imports nothing heavy, since plugins do: what a run needs is resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .callback import Callback, callbacks
from .losses import Loss, losses

if TYPE_CHECKING:
    from .build import build_model, load_data
    from .catalogue import registries
    from .run import TrainingRun
    from .trainer import Interrupted, Trainer

_HOMES = {
    "Interrupted": "trainer",
    "Trainer": "trainer",
    "TrainingRun": "run",
    "build_model": "build",
    "load_data": "build",
    "registries": "catalogue",
}

__all__ = [
    "Callback",
    "Interrupted",
    "Loss",
    "Trainer",
    "TrainingRun",
    "build_model",
    "callbacks",
    "load_data",
    "losses",
    "registries",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
