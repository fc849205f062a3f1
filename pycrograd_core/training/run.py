"""One training run, from a checked configuration to its summary."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycrograd_core.cache import no_cache
from pycrograd_core.environment import environment
from pycrograd_core.plugins import use_backend

from . import build
from .catalogue import registries
from .folder import RunFolder
from .trainer import Trainer

if TYPE_CHECKING:
    from pycrograd_core.config import TrainConfig

    from .callback import Callback


class TrainingRun:
    """A run that is ready to start: data loaded, model built, folder chosen.

    Raises ConfigError where the configuration's parts do not fit each other or the folder, DataError where the data
    cannot be used, CheckpointError where the folder or a checkpoint in it cannot.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        out: Path | None = None,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
        captured: bool = True,
    ) -> None:
        began = time.perf_counter()
        self._caching = no_cache if config.cache == "off" else nullcontext
        with self._caching():
            self.matrix = build.find_backend(config)
            # what a run records, and is resumed by, is the backend that it had, not that it took the default
            self.config = replace(config, backend=self.matrix.backend)
            self.folder = (RunFolder.reopen if resume else RunFolder.create)(out, self.config)
            try:
                self.trainer = self._trainer(callbacks, captured)
                self.trainer.began = began
                if resume:
                    self.folder.resume(self.trainer)
            except BaseException:
                self.folder.abandon()
                raise

    def _trainer(self, callbacks: Sequence[Callback], captured: bool) -> Trainer:
        config, named = self.config, registries()
        loss = build.build_loss(config, named)
        train, validation = build.load_data(config)
        self.folder.know(train, validation)
        outputs = build.fitting_outputs(config, loss, train.outputs, train.classes is not None)
        with use_backend(self.matrix):
            model = build.build_model(config, named, train.inputs, outputs)
        return Trainer(
            model,
            loss,
            build.build_optimiser(config, named, model),
            train,
            validation,
            epochs=config.training.epochs,
            batch_size=config.training.batch_size,
            seed=config.seed,
            schedule=build.build_schedule(config, named),
            clip_norm=config.training.clip_norm,
            callbacks=[self.folder, *callbacks, *build.build_callbacks(config, named, self.folder.path)],
            captured=captured,
        )

    def execute(self) -> dict[str, Any]:
        """Train, and write the run's files. Returns the summary, as in `summary.json`."""
        try:
            return self.folder.summary(self.trainer) or self._train()
        finally:
            self.folder.lock.release()

    def _train(self) -> dict[str, Any]:
        about = environment(self.matrix)  # asks the backend's probe: if that ends the program, no training is lost
        with use_backend(self.matrix), self._caching():
            history = self.trainer.fit()
        last = history[-1] if history else {}
        summary = {
            "name": self.config.name,
            "kind": self.config.kind,
            "backend": self.matrix.backend,
            "device": self.matrix.device,
            "captured": self.trainer.captured,
            "seed": self.config.seed,
            "epochs": self.trainer.position.epoch,
            "steps": self.trainer.position.total_steps,
            "parameters": sum(p.rows * p.cols for p in self.trainer.model.parameters()),
            "train": last.get("train"),
            "validation": last.get("validation"),
            "seconds": {
                "total": self.trainer.elapsed(),
                "compile": self.trainer.compile_seconds,
                "step_median": self.trainer.step_median(),
            },
            "environment": about,
        }
        self.folder.finish(self.trainer, summary)
        return summary
