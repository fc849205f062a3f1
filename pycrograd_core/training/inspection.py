"""What a configuration builds, found by running a training step on symbolic matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import no_grad
from pycrograd_core.capture import Call, recording
from pycrograd_core.matrix import FORMATS
from pycrograd_core.nn import Module, Sequential
from pycrograd_core.optim import clip_grad_norm
from pycrograd_core.plugins import use_backend
from pycrograd_core.random import RandomStream
from pycrograd_core.tensor import Tensor

from . import build
from .catalogue import registries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.config import TrainConfig


class _Undrawn(RandomStream):
    """A stream whose numbers nobody looks at: pages of zeros that are never touched, and so take no memory."""

    def child(self, *labels: str | int) -> RandomStream:
        return self

    def spawn(self) -> RandomStream:
        return self

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
        return np.zeros(count, np.float32)

    def normal(self, count: int, mean: float = 0.0, deviation: float = 1.0) -> NDArray[np.float32]:
        return np.zeros(count, np.float32)


def inspect_model(config: TrainConfig) -> dict[str, Any]:
    """Layers, shapes, parameters, FLOPs and bytes of one training step of a configuration, as plain data.

    `layers` describes a forward pass of a batch, layer by layer; `step` all kernels of a step: forward, loss, backward
    and update. FLOPs count a multiply-add as two, bytes each operand of a kernel once.
    """
    named = registries()
    loss = build.build_loss(config, named)
    inputs, size, classification = build.data_size(config)
    outputs = build.fitting_outputs(config, loss, size, classification)
    rows = config.training.batch_size
    if config.data.samples is not None:
        rows = min(rows, config.data.samples - round(config.data.validation * config.data.samples))
    with recording() as (matrix, calls), use_backend(matrix):
        model = build.build_model(replace(config, dtype="float32"), named, inputs, outputs, _Undrawn(0))
        for parameter in model.parameters():  # which hold no values that could be converted
            parameter.value = Tensor(np.zeros(parameter.shape), dtype=config.dtype).value
        width = np.dtype(FORMATS[config.dtype]).itemsize
        layers = _layers(model, Tensor(np.zeros((rows, inputs)), dtype=config.dtype), calls, width)
        calls.clear()
        optimiser = build.build_optimiser(config, named, model)
        targets = (
            Tensor(np.zeros((rows, 1), np.int32), dtype="int32")
            if classification and outputs == size
            else Tensor(np.zeros((rows, outputs)), dtype=config.dtype)
        )
        x = Tensor(np.zeros((rows, inputs)), dtype=config.dtype)
        loss.value(model(x), targets).backward()
        if config.training.clip_norm is not None:
            clip_grad_norm(optimiser.parameters, config.training.clip_norm)
        optimiser.step()
    return {
        "name": config.name,
        "batch_size": rows,
        "dtype": config.dtype,
        "layers": layers,
        "total": {key: sum(layer[key] for layer in layers) for key in layers[0] if key not in ("name", "output")},
        "step": {
            "ops": len(calls),
            "flops": sum(call.flops for call in calls),
            "bytes": sum(call.bytes for call in calls),
        },
    }


def _layers(model: Module, x: Tensor, calls: list[Call], width: int) -> list[dict[str, Any]]:
    """A row for each module of a sequence, or one for a model that is not a sequence."""
    rows = []
    with no_grad():
        for module in model if isinstance(model, Sequential) else [model]:
            calls.clear()
            x = module(x)
            parameters = sum(p.rows * p.cols for p in module.parameters())
            rows.append({
                "name": repr(module),
                "output": list(x.shape),
                "parameters": parameters,
                "flops": sum(call.flops for call in calls),
                "parameter_bytes": parameters * width,
                "activation_bytes": x.rows * x.cols * width,
            })  # fmt: skip
    return rows
