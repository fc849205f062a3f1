"""The configuration of a training run (`kind: train`), read from its values."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial

from pycrograd_core.registry import Registry, nearest

from .components import read_callbacks, read_component, read_layers, read_named
from .explain import show
from .fields import Field, fields_of, read_mapping
from .node import Node
from .schema import Component, DataConfig, Registries, TrainConfig, TrainingConfig

# where a mere name stands for a mapping with that `name`
NAMED = frozenset({"model", "loss", "optimiser", "schedule"})

_PLAIN = ("kind", "name", "seed", "backend", "device", "dtype", "cache")


def read_train(root: Node, registries: Registries) -> TrainConfig:
    """The training run that the values describe. Raises ConfigError with every mistake, each at its place."""
    schedule = Node("constant", "schedule", root.place, root.place)
    fields = {
        **_fields(TrainConfig, *_PLAIN),
        "data": Field("a mapping with the key 'dataset'", partial(_data, registry=registries.datasets)),
        "model": Field("a list of layers", partial(_model, registries=registries)),
        "loss": Field("the loss's name", partial(read_component, registry=registries.losses)),
        "optimiser": Field("the optimiser's name", partial(read_component, registry=registries.optimisers)),
        "schedule": Field("the schedule's name", partial(read_component, registry=registries.schedules)),
        "callbacks": Field("a list of callbacks", partial(read_callbacks, registry=registries.callbacks), ()),
        "training": Field("a mapping with the keys 'epochs' and 'batch_size'", _training),
    }
    return TrainConfig(
        **read_mapping(replace(root, value={"schedule": schedule, **root.children}), fields), source=root
    )


def _data(node: Node, registry: Registry) -> DataConfig:
    dataset, own = read_named(node, "dataset", registry, _fields(DataConfig, "samples", "validation"))
    return DataConfig(dataset, **own)


def _model(node: Node, registries: Registries) -> Component | tuple[Component, ...]:
    if isinstance(node.value, list):
        return read_layers(node, registries.layers)
    if isinstance(node.value, str) or "name" in node.children:
        return read_component(node, registries.models)
    raise node.error(
        f"expected a list of layers, or a mapping with a model's 'name', found {show(node.value)}. "
        f"Models: {nearest('', registries.models)}"
    )


def _training(node: Node) -> TrainingConfig:
    return TrainingConfig(**read_mapping(node, _fields(TrainingConfig)))


def _fields(record: type, *names: str) -> dict[str, Field]:
    """The fields of a record of the schema: those named, or all."""
    parameters = inspect.signature(record).parameters
    return fields_of(record, [parameters[name] for name in names or parameters])
