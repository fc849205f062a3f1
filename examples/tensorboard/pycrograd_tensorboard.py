"""A run callback that logs to TensorBoard's format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pycrograd_core.plugins import hookimpl
from pycrograd_core.training import Callback

if TYPE_CHECKING:
    from pycrograd_core.training import Trainer


class TensorBoard(Callback):
    """Losses, accuracies and the learning rate of each epoch, over the steps done. `tensorboard --logdir` shows them.

    They go to `logdir`, by default a folder `tensorboard` in the run's own.
    """

    def __init__(self, folder: Path, logdir: Path | None = None) -> None:
        self.logdir = logdir or folder / "tensorboard"

    def started(self, trainer: Trainer) -> None:
        """Open the file. What a run logged beyond the checkpoint that it is resumed from is no longer shown."""
        from tensorboardX import SummaryWriter  # not at the top: whoever lists plugins should not wait for it

        self.writer = SummaryWriter(str(self.logdir), purge_step=trainer.position.total_steps + 1)

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """Log an epoch's record."""
        for part in ("train", "validation"):
            for name, value in record.get(part, {}).items():
                self.writer.add_scalar(f"{name}/{part}", value, record["steps"])
        self.writer.add_scalar("learning_rate", record["learning_rate"], record["steps"])

    def ended(self, trainer: Trainer) -> None:
        """Close the file, however the run ended."""
        self.writer.close()


@hookimpl
def pycrograd_register_callbacks() -> Mapping[str, Callable[..., Callback]]:
    """`callbacks: [tensorboard]` in a configuration; the run supplies its folder."""
    return {"tensorboard": TensorBoard}
