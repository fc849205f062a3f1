"""What a configuration builds, found by tracing a training step on matrices that have a shape and no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import no_grad
from pycrograd_core.capture.cost import kernels, traffic
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.plan import plan
from pycrograd_core.capture.program import Program, Region, Step, Value, flat
from pycrograd_core.capture.show import formula, labels
from pycrograd_core.capture.symbolic import ShapeMatrix
from pycrograd_core.capture.trace import trace
from pycrograd_core.nn import Module, Sequential
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.optim import Optimiser, clip_grad_norm
from pycrograd_core.plugins import use_backend
from pycrograd_core.random import RandomStream
from pycrograd_core.tensor import Tensor

from . import build
from .catalogue import registries
from .losses import Loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.config import TrainConfig

RESULTS = ("loss", "correct")


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


@dataclass(frozen=True)
class TrainingStep:
    """A configuration's training step on a batch: its model, and the program as it was traced.

    `held` names the matrices that live on between steps, by their id.
    """

    model: Module
    batch: Tensor
    program: Program
    held: dict[int, str]

    def names(self, program: Program) -> dict[Value, str]:
        """What a reader calls the inputs and results of the program, or of what passes made of it."""
        states = {value: self.held[id(matrix)] for value, matrix in program.states.items() if id(matrix) in self.held}
        inputs = dict(zip(program.arguments, ("x", "targets"), strict=True))
        results = {v: n for v, n in zip(program.outputs, RESULTS, strict=False) if v not in program.inputs}
        return {**results, **inputs, **states}


def training_step(config: TrainConfig) -> TrainingStep:
    """Trace a training step of a configuration, for the backend that it names or the default one."""
    named = registries()
    loss = build.build_loss(config, named)
    inputs, size, classification = build.data_size(config)
    outputs = build.fitting_outputs(config, loss, size, classification)
    rows = config.training.batch_size
    if config.data.samples is not None:
        rows = min(rows, config.data.samples - round(config.data.validation * config.data.samples))
    with use_backend(ShapeMatrix):
        model = build.build_model(replace(config, dtype="float32"), named, inputs, outputs, _Undrawn(0))
        for _, tensor in model.named_tensors():  # which hold no values that could be converted
            if tensor.dtype != INDEX_DTYPE:
                tensor.value = ShapeMatrix.full(*tensor.shape, 0.0, config.dtype)
        optimiser = build.build_optimiser(config, named, model)
    labelled = classification and outputs == size
    batch = Tensor.of(ShapeMatrix.full(rows, inputs, 0.0, config.dtype))
    width, dtype = (1, INDEX_DTYPE) if labelled else (outputs, config.dtype)
    targets = ShapeMatrix.full(rows, width, 0.0, dtype)
    program = _traced(model, loss, optimiser, config.training.clip_norm, [batch, Tensor.of(targets)])
    program = replace(program, matrix=build.find_backend(config))
    return TrainingStep(model, batch, program, dict(_held(model, optimiser)))


def _traced(
    model: Module, loss: Loss, optimiser: Optimiser, clip_norm: float | None, arguments: list[Tensor]
) -> Program:
    def step(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = model(x)
        value = loss.value(outputs, targets)
        optimiser.zero_grad()
        value.backward()
        if clip_norm is not None:
            clip_grad_norm(optimiser.parameters, clip_norm)
        optimiser.step()
        return value, loss.correct(outputs, targets) if loss.correct else None

    return trace(step, arguments, known=optimiser.parameters).program


def _held(model: Module, optimiser: Optimiser) -> Iterator[tuple[int, str]]:
    """The matrices of the model and of the optimiser, by their id, with names: 0.weight, 0.weight.velocity, rate."""
    for name, value in vars(optimiser).items():
        if isinstance(value, Tensor):
            yield id(value.value), name.strip("_")
    owners = {id(tensor): name for name, tensor in model.named_tensors()}
    for name, tensor in model.named_tensors():
        yield id(tensor.value), name
    for key, tensor in optimiser.state.items():
        what, _, index = key.rpartition(".")
        yield id(tensor.value), f"{owners[id(optimiser.parameters[int(index)])]}.{what}"


def inspect_model(config: TrainConfig) -> dict[str, Any]:
    """Layers, shapes, parameters, FLOPs and bytes of one training step of a configuration, as plain data.

    `layers` describes a forward pass of a batch, layer by layer; `step` the ops of a step: forward, loss, backward and
    update, one after the other; `program` the same step `before` and `after` the passes, kernel by kernel. FLOPs count
    a multiply-add as two, bytes each operand of a kernel once.
    """
    step = training_step(config)
    layers = _layers(step.model, step.batch)
    programs = {"before": step.program, "after": optimise(step.program)}
    described = {when: _described(program, labels(program, step.names(program))) for when, program in programs.items()}
    before = described["before"]
    return {
        "name": config.name,
        "batch_size": step.batch.rows,
        "dtype": config.dtype,
        "backend": step.program.matrix.backend,
        "layers": layers,
        "total": {key: sum(layer[key] for layer in layers) for key in layers[0] if key not in ("name", "output")},
        "step": {"ops": before["kernels"], "flops": before["flops"], "bytes": before["bytes"]},
        "program": described,
    }


def _layers(model: Module, x: Tensor) -> list[dict[str, Any]]:
    """A row for each module of a sequence, or one for a model that is not a sequence."""
    rows = []
    for module in model if isinstance(model, Sequential) else [model]:
        shape, flops = _forward(module, x)
        x = Tensor.of(ShapeMatrix.full(*shape, 0.0, x.dtype))
        parameters = sum(p.rows * p.cols for p in module.parameters())
        rows.append({
            "name": repr(module),
            "output": list(shape),
            "parameters": parameters,
            "flops": flops,
            "parameter_bytes": sum(p.rows * p.cols * np.dtype(p.dtype).itemsize for p in module.parameters()),
            "activation_bytes": x.rows * x.cols * np.dtype(x.dtype).itemsize,
        })  # fmt: skip
    return rows


def _forward(module: Module, x: Tensor) -> tuple[tuple[int, int], int]:
    """The shape of a module's result, and the FLOPs of a forward pass."""
    shapes = []

    def forward(x: Tensor) -> Tensor:
        with no_grad():
            y: Tensor = module(x)
        shapes.append(y.shape)
        return y

    flops = trace(forward, [x]).program.flops
    return shapes[0], flops


def _described(program: Program, known: dict[Value, str]) -> dict[str, Any]:
    """What a program costs, and its steps."""
    launched = kernels(program.body)
    return {
        "kernels": len(launched),
        "flops": program.flops,
        "bytes": sum(map(traffic, launched)),
        "memory": {
            "unplanned": sum(value.bytes for step in launched for value in step.outputs),
            "planned": plan(program, lambda region: region.kind != "rows").size,
        },
        "steps": [_step(step, known) for step in program.body],
    }


def _step(step: Step, known: dict[Value, str]) -> dict[str, Any]:
    """A step as plain data. One that is launched says what it computes, a row-local region which steps are in it."""
    kind = step.kind if isinstance(step, Region) else "op"
    inside: dict[str, Any] = (
        {"steps": [_step(each, known) for each in step.body]}
        if isinstance(step, Region) and kind == "rows"
        else {"ops": [each.op.name for each in flat([step])], "computes": formula(step, known)}
    )
    return {
        "kind": kind,
        "inputs": [known[value] for value in dict.fromkeys(step.inputs)],
        "outputs": [{"name": known[value], "shape": list(value.shape), "dtype": value.dtype} for value in step.outputs],
        "flops": step.flops,
        "bytes": traffic(step),
        **inside,
    }
