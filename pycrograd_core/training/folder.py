"""A run's folder: config.yaml, metrics.jsonl, summary.json, model.safetensors, checkpoints/."""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycrograd_core.config import dump, load_config, resolved
from pycrograd_core.errors import CheckpointError, ConfigError

from . import checkpoint
from .callback import Callback
from .catalogue import registries
from .files import FolderLock, remove_partial, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pycrograd_core.config import TrainConfig
    from pycrograd_core.data import Dataset

    from .trainer import Trainer

RUNS = Path("runs")
CONTENTS = ("config.yaml", "metrics.jsonl", "summary.json", "model.safetensors", "checkpoints")


def fingerprint(config: TrainConfig, data: Sequence[Dataset | None] = ()) -> str:
    """A hash of all that decides a run's numbers: its configuration, and the rows it trains on and validates with."""
    found = hashlib.sha256(json.dumps(_decisive(config), sort_keys=True).encode())
    for part in data:
        for array in (part.features, part.targets) if part is not None else ():
            found.update(array.data)
    return found.hexdigest()


class RunFolder(Callback):
    """Writes a run's files as it goes. Every file is replaced whole, so that a crash leaves a run to resume.

    The folder is the run's alone until the lock is released.
    """

    def __init__(self, path: Path, config: TrainConfig, new: bool = False) -> None:
        self.path = path
        self.config = config
        self.fingerprint = fingerprint(config)  # until the data are known
        self.lock = FolderLock(path)
        self._new = new
        self._lines: list[str] = []

    @classmethod
    def create(cls, path: Path | None, config: TrainConfig) -> RunFolder:
        """A folder for a new run: the one given, which must hold no run yet, or the next free one in `runs/`."""
        if path is None:
            return cls(_next_free(config), config, new=True)
        try:
            for name in CONTENTS:
                if (path / name).exists():
                    raise ConfigError(
                        f"there is a {name} here already: go on with that run by --resume, or choose another folder",
                        str(path),
                    )
            new = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_make(path, error) from error
        return cls(path, config, new)

    @classmethod
    def reopen(cls, path: Path | None, config: TrainConfig) -> RunFolder:
        """The folder of a run to resume: the one given, or the newest of that name in `runs/`."""
        if path is None:
            runs = {number: each for number, each in _numbered(config.name).items() if _run_in(each)}
            if not runs:
                raise ConfigError(f"no run of {config.name} to resume; name its folder with --out", f"{RUNS}/")
            path = runs[max(runs)]
        elif not _run_in(path):
            raise ConfigError("there is no run in this folder to resume", str(path))
        _refuse_another(path, config)
        folder = cls(path, config)
        for each in (path, folder.checkpoints):
            remove_partial(each)
        return folder

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def know(self, *data: Dataset | None) -> None:
        """Tell checkpoints of these data from those of others."""
        self.fingerprint = fingerprint(self.config, data)

    def abandon(self) -> None:
        """Leave the folder of a run that cannot begin, and none where there was none."""
        self.lock.release()
        if self._new:
            with suppress(OSError):
                self.path.rmdir()

    def resume(self, trainer: Trainer) -> None:
        """Put a trainer where the newest checkpoint is, and the metrics with it.

        A run that was stopped before its first checkpoint begins again. Raises CheckpointError for damaged files,
        ConfigError for a run that has gone on for longer than it is now to go.
        """
        if not checkpoint.available(self.checkpoints):
            return
        position = checkpoint.load(self.checkpoints, trainer.model, trainer.optimiser, self.fingerprint)
        if (position.epoch, position.step) > (trainer.epochs, 0):
            raise self.config.place("training.epochs").error(
                f"the run in {self.path} has gone on for longer already: it has done {position.epoch} epochs"
                + (f" and {position.step} steps" if position.step else "")
            )
        self._lines = self._metrics.read_text("utf-8").splitlines()[: position.epoch] if self._metrics.exists() else []
        try:
            trainer.history = [json.loads(line) for line in self._lines]
        except ValueError as error:
            raise CheckpointError(f"{self._metrics} is damaged: {error}") from error
        if len(trainer.history) < position.epoch:
            raise CheckpointError(
                f"{self._metrics} is damaged: {len(trainer.history)} lines for the {position.epoch} epochs done"
            )
        trainer.position = position

    def save(self, trainer: Trainer) -> Path:
        """Write a checkpoint of a trainer that stands between two steps."""
        return checkpoint.save(self.checkpoints, trainer.position, trainer.model, trainer.optimiser, self.fingerprint)

    def started(self, trainer: Trainer) -> None:
        """Write the resolved configuration."""
        write_atomically(self.path / "config.yaml", dump(self.config).encode())
        self._write_metrics()

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Add a line to the metrics; write a checkpoint where one is due."""
        self._lines.append(json.dumps(record, allow_nan=False))
        self._write_metrics()
        every = self.config.training.checkpoint_every
        if trainer.position.epoch == trainer.epochs or (every and trainer.position.epoch % every == 0):
            self.save(trainer)

    def stopped(self, trainer: Trainer) -> None:
        """Write a checkpoint of the interrupted run."""
        self.save(trainer)

    def summary(self, trainer: Trainer) -> dict[str, Any] | None:
        """The summary, if the run is complete and was before this trainer resumed it."""
        try:
            summary: dict[str, Any] = json.loads((self.path / "summary.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        position = trainer.position
        complete = (summary.get("epochs"), summary.get("steps")) == (trainer.epochs, position.total_steps)
        return summary if complete and position.epoch == trainer.epochs else None

    def finish(self, trainer: Trainer, summary: dict[str, Any]) -> None:
        """Write the trained parameters and the summary."""
        checkpoint.save_model(self.path / "model.safetensors", trainer.model)
        write_atomically(self.path / "summary.json", (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())

    def _write_metrics(self) -> None:
        write_atomically(self._metrics, "".join(f"{line}\n" for line in self._lines).encode())


def _decisive(config: TrainConfig) -> dict[str, Any]:
    """What decides a run's numbers. How long it trains is left out: a run may be resumed for longer."""
    decisive = resolved(config)
    decisive["training"] = {k: v for k, v in decisive["training"].items() if k not in ("epochs", "checkpoint_every")}
    return {key: value for key, value in decisive.items() if key not in ("name", "device", "cache", "callbacks")}


def _change(before: Any, now: Any, path: str = "") -> str | None:
    """The first difference between two configurations, in words."""
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        before, now = dict(enumerate(before)), dict(enumerate(now))
    if isinstance(before, dict) and isinstance(now, dict):
        keys = {**before, **now}
        changes = (_change(before.get(key), now.get(key), f"{path}.{key}" if path else key) for key in keys)
        return next(filter(None, changes), None)
    if before == now:
        return None
    scalars = not any(isinstance(value, dict | list) for value in (before, now))
    return f"{path} {json.dumps(before)}, not {json.dumps(now)}" if scalars else f"another {path}"


def _refuse_another(path: Path, config: TrainConfig) -> None:
    """Raise ConfigError if the run in a folder was started with a configuration that gives other numbers."""
    before = path / "config.yaml"
    if before.exists():
        change = _change(_decisive(load_config(before, registries())), _decisive(config))
        if change:
            raise ConfigError(f"the run here was started with {change}; resume it with {before}", str(path))


def _run_in(path: Path) -> bool:
    """Whether a run was started in the folder."""
    return any(os.path.exists(path / name) for name in ("config.yaml", "checkpoints"))  # noqa: PTH110  raises nothing


def _numbered(name: str) -> dict[int, Path]:
    """What is in `runs/` under this name, by number: runs/NAME is 1, then runs/NAME-2, …"""
    pattern = re.compile(rf"{re.escape(name)}(?:-([2-9]|[1-9][0-9]+))?")
    found = {path: pattern.fullmatch(path.name) for path in (RUNS.iterdir() if RUNS.is_dir() else ())}
    return {int(match[1] or 1): path for path, match in found.items() if match}


def _next_free(config: TrainConfig) -> Path:
    """The folder after the last one of the run's name, made at once, so that no other run takes it."""
    name = config.name
    if name in (".", "..") or re.search(r"[/\\\0]", name):
        raise config.place("name").error(f"the run's folder cannot be called {name!r}: choose one with --out")
    number = max(_numbered(name), default=0) + 1
    while True:
        path = RUNS / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _cannot_make(path, error) from error
        else:
            return path


def _cannot_make(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(f"cannot make the folder {path}: {error.strerror or error}")
