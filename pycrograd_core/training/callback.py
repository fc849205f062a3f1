"""Callbacks: what is told how a run goes. The run's own folder is one, and so is its display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import PluginError
from pycrograd_core.registry import Registry

if TYPE_CHECKING:
    from .trainer import Trainer


class Callback:
    """Is told how a run goes. Subclass it and override what is of interest.

    All of a run is in `trainer`: its model, optimiser and data, the records of its epochs in `history`, and where it is
    in `position`. Whoever wants the run to stop after this batch, with a checkpoint, sets `trainer.stop_requested`.
    """

    def started(self, trainer: Trainer) -> None:
        """The run is about to begin, or to go on."""

    def stepped(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Metrics of the epoch so far were read: `loss`, and `accuracy` where there is one. A few times a second."""

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """An epoch is done; `record` is its line of metrics.jsonl."""

    def stopped(self, trainer: Trainer) -> None:
        """The run was interrupted between two batches."""

    def ended(self, trainer: Trainer) -> None:
        """The run is over: it is complete, was interrupted, or failed. Close here what `started` opened."""


class Configured(Callback):
    """A callback that a configuration names. What it raises ends the run with a PluginError that says which it was."""

    def __init__(self, name: str, callback: Callback) -> None:
        self.name = name
        self.callback = callback

    def started(self, trainer: Trainer) -> None:
        """As the callback does."""
        self._tell("started", trainer)

    def stepped(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """As the callback does."""
        self._tell("stepped", trainer, metrics)

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """As the callback does."""
        self._tell("epoch_ended", trainer, record)

    def stopped(self, trainer: Trainer) -> None:
        """As the callback does."""
        self._tell("stopped", trainer)

    def ended(self, trainer: Trainer) -> None:
        """As the callback does."""
        self._tell("ended", trainer)

    def _tell(self, event: str, *news: Any) -> None:
        try:
            getattr(self.callback, event)(*news)
        except Exception as failure:
            raise PluginError(
                f"the callback {self.name!r} failed in {event}: {type(failure).__name__}: {failure}"
            ) from failure


callbacks = Registry("callback", supplied=("folder",))
