"""From a checked configuration to the objects of a run. What does not fit is an error at the line that says it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pycrograd_core.data import known_size, load, split, take
from pycrograd_core.errors import BackendError, ConfigError, DataError, PluginError
from pycrograd_core.nn import Module, Sequential
from pycrograd_core.plugins import candidates, default_backend, get_backend
from pycrograd_core.plugins.backends import DEFAULT_VARIABLE
from pycrograd_core.random import RandomStream, use_stream

from .callback import Callback, Configured

if TYPE_CHECKING:
    from pathlib import Path

    from pycrograd_core.config import Component, Registries, TrainConfig
    from pycrograd_core.data import Dataset
    from pycrograd_core.matrix import Matrix
    from pycrograd_core.optim import Optimiser, Schedule

    from .losses import Loss


def find_backend(config: TrainConfig) -> type[Matrix]:
    """The matrix class that the configuration names, or the default one."""
    if config.backend is None and config.device is not None:
        raise config.place("device").error("a device needs a backend: add 'backend:' or --backend")
    matrix = _default_backend() if config.backend is None else _named_backend(config, config.backend)
    if config.dtype == "float64" and "float64" not in matrix.capabilities:
        raise config.place("dtype").error(f"the backend {matrix.backend!r} cannot compute in float64")
    return matrix


def _default_backend() -> type[Matrix]:
    try:
        return default_backend()
    except BackendError as error:
        if DEFAULT_VARIABLE in os.environ:
            raise ConfigError(str(error), f"{DEFAULT_VARIABLE}={os.environ[DEFAULT_VARIABLE]}") from error
        raise


def _named_backend(config: TrainConfig, name: str) -> type[Matrix]:
    candidate = candidates().get(name)
    known = candidate is not None and candidate.failure is None
    place = config.place("device" if known and config.device is not None else "backend")
    try:
        return get_backend(name, None if config.device is None else str(config.device))
    except BackendError as error:
        raise ConfigError(str(error), place.file, place.line, place.column) from error


def load_data(config: TrainConfig) -> tuple[Dataset, Dataset | None]:
    """The training rows and the validation rows: loaded, cut to `samples`, split."""
    component, samples = config.data.dataset, config.data.samples
    dataset = load(component.name, component.options, config.seed)
    try:
        if samples is not None and samples != len(dataset):
            dataset = take(dataset, samples, RandomStream(config.seed, "samples"))
    except DataError as error:
        raise config.place("data.samples").error(str(error)) from error
    try:
        return split(dataset, config.data.validation, RandomStream(config.seed, "split"))
    except DataError as error:
        raise config.place("data.validation").error(str(error)) from error


def data_size(config: TrainConfig) -> tuple[int, int, bool]:
    """The inputs of the data set, its classes or target columns, and whether it has classes; loaded only if need be."""
    known = known_size(config.data.dataset.name)
    if known is not None:
        return *known, True
    dataset = load(config.data.dataset.name, config.data.dataset.options, config.seed)
    return dataset.inputs, dataset.outputs, dataset.classes is not None


def build_loss(config: TrainConfig, registries: Registries) -> Loss:
    """The loss."""
    return _made(config.loss, registries.losses[config.loss.name], {})


def build_model(
    config: TrainConfig, registries: Registries, inputs: int, outputs: int, stream: RandomStream | None = None
) -> Module:
    """The model, on the backend of `use_backend`, drawn from a stream: by default the configuration's seed."""
    with use_stream(stream or RandomStream(config.seed, "model")):
        model = (
            _layers(config.model, registries, inputs)
            if isinstance(config.model, tuple)
            else _made(config.model, registries.models[config.model.name], {"inputs": inputs, "outputs": outputs})
        )
    found = model.outputs(inputs)
    if found != outputs:
        last = config.model[-1] if isinstance(config.model, tuple) else config.model
        raise last.error(
            f"the model ends in {found} outputs, but the loss {config.loss.name} on {config.data.dataset.name} needs "
            f"{outputs}"
        )
    if config.dtype != "float32":
        model.to(dtype=config.dtype)
    return model


def build_optimiser(config: TrainConfig, registries: Registries, model: Module) -> Optimiser:
    """The optimiser of all the model's parameters."""
    factory = registries.optimisers[config.optimiser.name]
    parameters = model.parameters()
    if not parameters:
        raise config.optimiser.error("the model has no parameters to train")
    return _made(config.optimiser, factory, {"parameters": parameters})


def build_schedule(config: TrainConfig, registries: Registries) -> Callable[[int], Schedule]:
    """A function from the run's number of steps to its schedule."""
    factory = registries.schedules[config.schedule.name]
    return lambda total_steps: _made(config.schedule, factory, {"total_steps": total_steps})


def build_callbacks(config: TrainConfig, registries: Registries, folder: Path) -> list[Callback]:
    """The callbacks. Those that take the run's folder are given it."""
    return [_callback(component, registries.callbacks[component.name], folder) for component in config.callbacks]


def fitting_outputs(config: TrainConfig, loss: Loss, size: int, classification: bool) -> int:
    """How many outputs the model needs. A loss that does not fit the data is an error at its line."""
    try:
        return loss.outputs(size, classification, config.data.dataset.name)
    except DataError as error:
        raise config.loss.place.error(str(error)) from error


def _callback(component: Component, factory: Callable[..., Any], folder: Path) -> Callback:
    callback = _made(component, factory, _wanted(factory, folder=folder))
    if not isinstance(callback, Callback):
        raise PluginError(
            f"the callback {component.name!r} of {factory.__module__} is a {type(callback).__name__}, not a Callback"
        )
    return Configured(component.name, callback)


def _layers(components: tuple[Component, ...], registries: Registries, width: int) -> Sequential:
    modules: list[Module] = []
    for component in components:
        factory = registries.layers[component.name]
        module = _made(component, factory, _wanted(factory, in_features=width))
        modules.append(module)
        width = module.outputs(width)
    return Sequential(*modules)


def _wanted(factory: Callable[..., Any], **offered: Any) -> dict[str, Any]:
    """Of what the run can supply, that which a factory takes."""
    parameters = inspect.signature(factory).parameters
    return {name: value for name, value in offered.items() if name in parameters}


def _made(component: Component, factory: Callable[..., Any], supplied: dict[str, Any]) -> Any:
    """What a factory makes of its options. A combination that it refuses is an error at the component's line."""
    try:
        return factory(**supplied, **component.options)
    except ValueError as error:
        raise component.error(str(error)) from error
