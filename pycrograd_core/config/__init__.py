"""YAML configurations: every mistake has a place, says what was expected, and names the nearest right name."""

from __future__ import annotations

from .dump import dump, resolved
from .load import load_config, parse_config
from .mistakes import Mistakes
from .node import Place
from .overrides import Option
from .schema import Component, DataConfig, Registries, TrainConfig, TrainingConfig

__all__ = [
    "Component",
    "DataConfig",
    "Mistakes",
    "Option",
    "Place",
    "Registries",
    "TrainConfig",
    "TrainingConfig",
    "dump",
    "load_config",
    "parse_config",
    "resolved",
]
