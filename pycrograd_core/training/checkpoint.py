"""Checkpoints: all that a run needs to go on as if it had never stopped, in one safetensors file.

Tensors are the parameters and what the optimiser remembers; the header's metadata holds the counters as JSON. Random
numbers need no more than counters, because every stream is a function of the seed, a label and a count.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import CheckpointError, TrainingError

from .files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.nn import Module
    from pycrograd_core.optim import Optimiser

KEPT = 2  # the newest checkpoint, and one before it in case the disk damaged the newest


@dataclass
class Position:
    """Where a run is: whole epochs done, steps done in the next one, and what that epoch has added up so far.

    `seconds` is the time spent in that epoch, `elapsed` in the whole run; `planned` is how many epochs it was to have.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    elapsed: float = 0.0
    planned: int = 0


def save(folder: Path, position: Position, model: Module, optimiser: Optimiser, fingerprint: str) -> Path:
    """Write a checkpoint and drop those that it makes superfluous.

    Raises CheckpointError if it cannot be written, TrainingError instead of writing numbers that are not finite.
    """
    import numpy as np

    position.counters = {f"{name}.{counter}": getattr(module, counter) for name, module, counter in _counters(model)}
    tensors = {f"model.{name}": parameter.host() for name, parameter in model.named_tensors()}
    tensors |= {f"optimiser.{name}": value.host() for name, value in optimiser.state.items()}
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise TrainingError(
                f"{name} is not finite after epoch {position.epoch}, step {position.step}; the checkpoint before it "
                "was kept: lower the learning rate, or set training.clip_norm"
            )
    metadata = {"position": json.dumps(asdict(position)), "fingerprint": fingerprint}
    path = folder / f"step-{position.total_steps:08d}.safetensors"
    _write(path, tensors, metadata)
    for old in available(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def available(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"), key=lambda path: (len(path.name), path.name))


def load(folder: Path, model: Module, optimiser: Optimiser, fingerprint: str) -> Position:
    """Restore the newest checkpoint into a model and its optimiser.

    Raises CheckpointError if there is none, if it is damaged, or if it belongs to another configuration.
    """
    from safetensors import SafetensorError, safe_open

    found = available(folder)
    if not found:
        raise CheckpointError(f"there is no checkpoint in {folder} to resume from")
    path = found[-1]
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, NDArray[Any]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        position = Position(**json.loads(metadata["position"]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): remove it to resume from the one before") from error
    if metadata.get("fingerprint") != fingerprint:
        raise CheckpointError(f"{path} belongs to another configuration or to other data: resume with its own")
    model.load_state_dict(_under("model.", tensors))
    optimiser.load_state_dict(_under("optimiser.", tensors))
    for name, module, counter in _counters(model):
        setattr(module, counter, position.counters[f"{name}.{counter}"])
    return position


def save_model(path: Path, model: Module) -> None:
    """Write a model's parameters alone, as safetensors."""
    _write(path, {name: parameter.host() for name, parameter in model.named_tensors()}, None)


def _write(path: Path, tensors: dict[str, NDArray[Any]], metadata: dict[str, str] | None) -> None:
    """Write arrays from where they are, without a copy."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata)
        except SafetensorError as error:
            raise CheckpointError(f"cannot write {path}: {error}") from error


def _under(prefix: str, tensors: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): values for name, values in tensors.items() if name.startswith(prefix)}


def _counters(model: Module) -> list[tuple[str, Module, str]]:
    return [(name, module, counter) for name, module in model.named_modules() for counter in module.counters]
