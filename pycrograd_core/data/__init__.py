"""Data sets: what they are, those that can be named in a configuration, and how a run draws rows from them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import PluginError
from pycrograd_core.registry import Registry

from .batches import batches, epoch_order
from .csv_file import csv_file
from .dataset import Dataset
from .digits import digits
from .mnist import mnist
from .moons import moons
from .split import split, take

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Dataset",
    "batches",
    "csv_file",
    "datasets",
    "digits",
    "epoch_order",
    "known_size",
    "load",
    "mnist",
    "moons",
    "split",
    "take",
]

datasets = Registry("data set", supplied=("seed",))
datasets.register("moons", moons)
datasets.register("digits", digits)
datasets.register("mnist", mnist)
datasets.register("csv", csv_file)

_SIZES = {"moons": (2, 2), "digits": (64, 10), "mnist": (784, 10)}


def known_size(name: str) -> tuple[int, int] | None:
    """The inputs and outputs of a data set, where they are known without loading it."""
    return _SIZES.get(name)


def load(name: str, options: Mapping[str, Any], seed: int) -> Dataset:
    """The data set `name`, made by its factory with the options, and with the seed if the factory takes one.

    Raises UnknownNameError for a name that is not registered, DataError as the factory does, and PluginError if the
    factory yields anything but a Dataset.
    """
    factory = datasets[name]
    supplied = {"seed": seed} if "seed" in inspect.signature(factory).parameters else {}
    dataset = factory(**options, **supplied)
    if not isinstance(dataset, Dataset):
        raise PluginError(f"the data set {name!r} of {factory.__module__} is a {type(dataset).__name__}, not a Dataset")
    return dataset
