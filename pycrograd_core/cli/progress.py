"""How a run shows itself: live on a terminal, plain lines elsewhere, nothing beside JSON. All of it on stderr."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pycrograd_core.training import Callback

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pycrograd_core.training import Trainer


def display(quiet: bool, stream: TextIO | None = None) -> Display:
    """The display that suits the output."""
    stream = stream or sys.stderr
    if quiet:
        return Display(stream)
    return LiveDisplay(stream) if stream.isatty() else PlainDisplay(stream)


class Display(Callback):
    """Shows nothing. A context manager, so that a live display is gone before anything else is printed.

    `notice` goes to stderr when the run is asked to stop.
    """

    notice = b""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def say(self, text: str) -> None:
        """Write a line, whatever else is shown."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def summarise(self, summary: dict[str, Any], folder: Path) -> None:
        """Say how the run ended."""


class PlainDisplay(Display):
    """A line when the run starts, one an epoch, and one at the end."""

    notice = b"stopping after this batch, with a checkpoint; once more stops at once\n"

    def started(self, trainer: Trainer) -> None:
        """Say what is trained, on what, from where."""
        parameters = trainer.optimiser.parameters
        total = sum(p.rows * p.cols for p in parameters)
        held_out = len(trainer.validation) if trainer.validation is not None else 0
        kind = type(parameters[0].value)
        self.say(
            f"{total:,} parameters, {len(trainer.train):,} samples to train on and {held_out:,} to validate, "
            f"backend {kind.backend}{f' on {kind.device}' if kind.device else ''}"
        )
        position = trainer.position
        if position.total_steps:
            self.say(f"resumed after epoch {position.epoch}, step {position.step}")
            if position.planned != trainer.epochs:
                self.say(
                    f"for {trainer.epochs} epochs in place of {position.planned}; the schedule now runs over those"
                )

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """One line of metrics."""
        parts = [f"epoch {record['epoch']:>{len(str(trainer.epochs))}}/{trainer.epochs}"]
        parts += [f"{name} {_metrics(record[name])}" for name in ("train", "validation") if name in record]
        parts.append(f"{len(trainer.train) / max(record['seconds'], 1e-9):,.0f} samples/s")
        self.say("  ".join(parts))

    def summarise(self, summary: dict[str, Any], folder: Path) -> None:
        """The last metrics, the time, the folder."""
        best = summary["validation"] or summary["train"]
        which = "validation" if summary["validation"] else "training"
        text = f"{which} {_metrics(best)}, " if best else ""
        self.say(f"done: {text}{summary['seconds']['total']:.1f} s; see {folder}")


class LiveDisplay(PlainDisplay):
    """A bar over the run and the metrics under it, with a line above for each epoch that is done. Fits 80 columns."""

    notice = b"\n" + PlainDisplay.notice

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        super().__init__(stream)
        self._console = Console(file=stream, highlight=False)

    def __enter__(self) -> LiveDisplay:
        from rich.console import Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}  step {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
        )
        self._metrics = Text()
        self._live = Live(Group(self._bar, self._metrics), console=self._console, transient=True, refresh_per_second=10)
        self._task: TaskID | None = None
        self._since = (0, time.perf_counter())
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, trainer: Trainer) -> None:
        """The first lines, and the bar."""
        super().started(trainer)
        done = trainer.position.total_steps
        self._task = self._bar.add_task("", total=trainer.epochs * trainer.steps_per_epoch, completed=done, epoch="")
        self._since = (done, time.perf_counter())
        self._show(trainer, "")

    def stepped(self, trainer: Trainer, metrics: dict[str, float]) -> None:
        """Move the bar."""
        self._show(trainer, _metrics(metrics))

    def epoch_ended(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """The epoch's line above the bar."""
        super().epoch_ended(trainer, record)
        self._show(trainer, _metrics(record["train"]))

    def _show(self, trainer: Trainer, metrics: str) -> None:
        done, start = self._since
        rows = (trainer.position.total_steps - done) * min(trainer.batch_size, len(trainer.train))
        seconds = time.perf_counter() - start
        assert self._task is not None
        epoch = f"{min(trainer.position.epoch + 1, trainer.epochs)}/{trainer.epochs}"
        self._bar.update(self._task, completed=trainer.position.total_steps, epoch=epoch)
        self._metrics.plain = f"{metrics}  {rows / seconds:,.0f} samples/s" if rows and seconds else metrics

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)


def _metrics(metrics: dict[str, float]) -> str:
    """Loss and accuracy, as people read them."""
    loss = metrics["loss"]
    text = f"loss {loss:.4f}" if math.isfinite(loss) else f"loss {loss}"
    return f"{text}, accuracy {metrics['accuracy']:.2%}" if "accuracy" in metrics else text
