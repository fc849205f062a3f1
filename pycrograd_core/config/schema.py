"""What a training configuration holds. The annotations are the schema: the reader takes its rules from them."""

# no `from __future__ import annotations` here, since the reader evaluates them

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from pycrograd_core.errors import ConfigError
from pycrograd_core.registry import Registry

from .node import Node, Place


@dataclass(frozen=True)
class Registries:
    """The names that a configuration can use: for each part of a run, its registered factories."""

    datasets: Registry
    layers: Registry
    models: Registry
    losses: Registry
    optimisers: Registry
    schedules: Registry
    callbacks: Registry


@dataclass(frozen=True)
class Component:
    """A registered name with all the options that its factory is to be called with, defaults among them.

    A default that YAML cannot write is left to the factory. Two components are equal wherever they were written.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    place: Place = field(default=Place(), compare=False)

    def error(self, message: str) -> ConfigError:
        """The mistake `message`, at the place where the configuration names this component."""
        return self.place.error(f"{self.name}: {message}")


@dataclass(frozen=True)
class DataConfig:
    """The data set, how many of its rows to use (None: all), and the fraction of them kept for validation."""

    dataset: Component
    samples: Annotated[int, Gt(0)] | None = None
    validation: Annotated[float, Ge(0), Lt(1)] = 0.2


@dataclass(frozen=True)
class TrainingConfig:
    """How long and in which steps to train.

    `clip_norm` bounds the norm of all gradients taken together; `checkpoint_every` counts epochs, 0 keeps only the end.
    """

    epochs: Annotated[int, Gt(0)]
    batch_size: Annotated[int, Gt(0)]
    clip_norm: Annotated[float, Gt(0)] | None = None
    checkpoint_every: Annotated[int, Ge(0)] = 1


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. `model` is a registered model, or the layers in order, repetitions written out.

    `backend` and `device` are as the user gave them, None for the run to choose. `cache` says whether the backend keeps
    what it compiles for the next run.
    """

    kind: Literal["train"] = "train"
    name: Annotated[str, MinLen(1)]
    seed: Annotated[int, Ge(0)] = 0
    backend: str | None = None
    device: str | int | None = None
    dtype: Literal["float32", "float64"] = "float32"
    cache: Literal["on", "off"] = "on"
    data: DataConfig
    model: Component | tuple[Component, ...]
    loss: Component
    optimiser: Component
    schedule: Component = Component("constant")
    callbacks: tuple[Component, ...] = ()
    training: TrainingConfig
    source: Node = field(default=Node({}, "", Place(), Place()), repr=False, compare=False)

    def place(self, path: str) -> Place:
        """Where the value at a dotted path, such as `backend`, was written; the nearest value around it if nowhere."""
        return self.source.find(path.split(".")).place
