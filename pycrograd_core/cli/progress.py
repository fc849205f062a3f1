"""How a run shows itself: live on a terminal, plain lines elsewhere, nothing beside JSON. All of it on stderr."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pycrograd_core.training import Observer

if TYPE_CHECKING:
    from rich.progress import TaskID

    from pycrograd_core.training import Trainer


def display(quiet: bool, stream: TextIO | None = None) -> Display:
    """The display that suits the output."""
    stream = stream or sys.stderr
    if quiet:
        return Display(stream)
    return LiveDisplay(stream) if stream.isatty() else PlainDisplay(stream)


class Display(Observer):
    """Shows nothing. A context manager, so that a live display is gone before anything else is printed."""

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

    def started(self, trainer: Trainer) -> None:
        """Say what is trained, on what, from where."""
        parameters = trainer.optimiser.parameters
        total = sum(p.rows * p.cols for p in parameters)
        held_out = len(trainer.validation) if trainer.validation is not None else 0
        self.say(
            f"{total:,} parameters, {len(trainer.train):,} samples to train on and {held_out:,} to validate, "
            f"backend {parameters[0].backend}"
        )
        position = trainer.position
        if position.total_steps:
            self.say(f"resumed after epoch {position.epoch}, step {position.step}")
            if position.planned != trainer.epochs:
                self.say(f"for {trainer.epochs} epochs in place of {position.planned}; the schedule now runs over those")

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
    """A progress bar over the run, with a line above it for each epoch that is done."""

    def __enter__(self) -> LiveDisplay:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(file=self.stream, highlight=False)
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            TextColumn("step {task.completed:.0f}/{task.total:.0f}  {task.fields[metrics]}"),
            TextColumn("{task.fields[speed]} samples/s"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._since = (0, time.perf_counter())
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, trainer: Trainer) -> None:
        """The first lines, and the bar."""
        super().started(trainer)
        self._task = self._progress.add_task(
            "", total=trainer.epochs * trainer.steps_per_epoch, epoch="", metrics="", speed="–"
        )
        self._since = (trainer.position.total_steps, time.perf_counter())
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
        steps = trainer.position.total_steps - done
        rows = steps * min(trainer.batch_size, len(trainer.train))
        seconds = time.perf_counter() - start
        assert self._task is not None
        self._progress.update(
            self._task,
            completed=trainer.position.total_steps,
            epoch=f"{min(trainer.position.epoch + 1, trainer.epochs)}/{trainer.epochs}",
            metrics=metrics,
            speed=f"{rows / seconds:,.0f}" if steps and seconds else "–",
        )

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(text, markup=False, soft_wrap=True)


def _metrics(metrics: dict[str, float]) -> str:
    """Loss and accuracy, as people read them."""
    loss = metrics["loss"]
    text = f"loss {loss:.4f}" if math.isfinite(loss) else f"loss {loss}"
    return f"{text}, accuracy {metrics['accuracy']:.2%}" if "accuracy" in metrics else text
