"""A run's folder: config.yaml, metrics.jsonl, summary.json, model.safetensors, checkpoints/."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycrograd_core.config import dump, resolved
from pycrograd_core.errors import CheckpointError

from . import checkpoint
from .files import write_atomically
from .trainer import Observer

if TYPE_CHECKING:
    from pycrograd_core.config import TrainConfig

    from .trainer import Trainer


def fingerprint(config: TrainConfig) -> str:
    """A hash of all that decides a run's numbers. How long it trains is left out: a run may be resumed for longer."""
    decisive = resolved(config)
    decisive["training"] = {k: v for k, v in decisive["training"].items() if k not in ("epochs", "checkpoint_every")}
    decisive["name"] = decisive["device"] = None
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


class RunFolder(Observer):
    """Writes a run's files as it goes. Every file is replaced whole, so that a crash leaves a run to resume."""

    def __init__(self, path: Path, config: TrainConfig) -> None:
        self.path = path
        self.config = config
        self.fingerprint = fingerprint(config)
        self._lines: list[str] = []

    @classmethod
    def create(cls, path: Path | None, config: TrainConfig) -> RunFolder:
        """A folder for a new run: the one given, which must hold no run yet, or the next free one in `runs/`."""
        if path is None:
            return cls(_next_free(config.name), config)
        folder = cls(path, config)
        if folder._metrics.exists() or checkpoint.available(folder.checkpoints):
            raise CheckpointError(f"{path} holds a run already: continue it with --resume, or choose another folder")
        return folder

    @classmethod
    def reopen(cls, path: Path | None, config: TrainConfig) -> RunFolder:
        """The folder of a run to resume: the one given, or the newest of that name in `runs/`."""
        if path is None:
            found = [each for each in _numbered(config.name) if (each / "checkpoints").is_dir()]
            if not found:
                raise CheckpointError(
                    f"there is no run of {config.name} in runs/ to resume; name its folder with --out"
                )
            path = found[-1]
        return cls(path, config)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def resume(self, trainer: Trainer) -> None:
        """Put a trainer where the newest checkpoint is, and the metrics file with it."""
        trainer.position = checkpoint.load(self.checkpoints, trainer.model, trainer.optimiser, self.fingerprint)
        lines = self._metrics.read_text("utf-8").splitlines() if self._metrics.exists() else []
        self._lines = lines[: trainer.position.epoch]
        trainer.history = [json.loads(line) for line in self._lines]

    def save(self, trainer: Trainer) -> Path:
        """Write a checkpoint of a trainer that stands between two steps."""
        return checkpoint.save(self.checkpoints, trainer.position, trainer.model, trainer.optimiser, self.fingerprint)

    def started(self, trainer: Trainer) -> None:
        """Write the resolved configuration."""
        write_atomically(self.path / "config.yaml", dump(self.config).encode())
        self._write_metrics()

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Add a line to the metrics; write a checkpoint where one is due."""
        self._lines.append(json.dumps(record))
        self._write_metrics()
        every = self.config.training.checkpoint_every
        if trainer.position.epoch == trainer.epochs or (every and trainer.position.epoch % every == 0):
            self.save(trainer)

    def stopped(self, trainer: Trainer) -> None:
        """Write a checkpoint of the interrupted run."""
        self.save(trainer)

    def finish(self, trainer: Trainer, summary: dict[str, Any]) -> None:
        """Write the trained parameters and the summary."""
        checkpoint.save_model(self.path / "model.safetensors", trainer.model)
        write_atomically(self.path / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())

    def _write_metrics(self) -> None:
        write_atomically(self._metrics, "".join(f"{line}\n" for line in self._lines).encode())


def _numbered(name: str) -> list[Path]:
    """The folders of runs of this name, oldest first: runs/NAME, runs/NAME-2, …"""
    found = [Path("runs") / name]
    found += Path("runs").glob(f"{name}-*")
    numbers = {path: path.name.removeprefix(f"{name}-") for path in found if path.is_dir()}
    return sorted((p for p, n in numbers.items() if p.name == name or n.isdigit()), key=lambda p: _number(p, name))


def _number(path: Path, name: str) -> int:
    return 1 if path.name == name else int(path.name.removeprefix(f"{name}-"))


def _next_free(name: str) -> Path:
    taken = _numbered(name)
    return Path("runs") / (f"{name}-{_number(taken[-1], name) + 1}" if taken else name)
