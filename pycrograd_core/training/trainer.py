"""The training loop: epochs of shuffled batches, metrics, checkpoints, an interruption that loses nothing."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.autograd import no_grad
from pycrograd_core.data import epoch_order
from pycrograd_core.errors import TrainingError
from pycrograd_core.optim import clip_grad_norm
from pycrograd_core.tensor import Tensor

from .checkpoint import Position
from .steps import DeviceData, Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.data import Dataset
    from pycrograd_core.nn import Module
    from pycrograd_core.optim import Optimiser, Schedule

    from .callback import Callback
    from .losses import Loss

READ_EVERY = 0.2  # seconds between readings of the metrics, at most: each waits for the device


class Interrupted(Exception):  # noqa: N818  not a failure: the run was asked to stop, and has
    """The run stopped between two batches because it was asked to."""


@dataclass
class Meter:
    """Sums of losses and of correct rows. Values stay on the device until they are read."""

    sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "correct": 0.0, "rows": 0.0})
    unread: list[tuple[Tensor, Tensor | None, int]] = field(default_factory=list)

    def add(self, losses: Tensor, correct: Tensor | None, rows: int) -> None:
        """Note steps of `rows` rows each: what they lost and how many rows were correct, steps × 1."""
        self.unread.append((losses, correct, rows))

    def read(self) -> int | None:
        """Bring the sums up to date. Returns how many batches ago the first loss was not finite, None if all were."""
        bad, count = None, 0
        for losses, correct, rows in self.unread:
            for value in losses.host()[:, 0].tolist():
                if not math.isfinite(value) and bad is None:
                    bad = count
                self.sums["loss"] += value * rows
                self.sums["rows"] += rows
                count += 1
            if correct is not None:
                self.sums["correct"] += sum(correct.host()[:, 0].tolist())
        self.unread.clear()
        return None if bad is None else count - bad

    def metrics(self, counted: bool) -> dict[str, float]:
        """Means over the rows so far."""
        rows = self.sums["rows"] or 1.0
        found = {"loss": self.sums["loss"] / rows}
        if counted:
            found["accuracy"] = self.sums["correct"] / rows
        return found


class Trainer:
    """Trains a model on a data set. `position` says where it is; `fit` goes on from there."""

    def __init__(
        self,
        model: Module,
        loss: Loss,
        optimiser: Optimiser,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        epochs: int,
        batch_size: int,
        seed: int = 0,
        schedule: Callable[[int], Schedule] | None = None,
        clip_norm: float | None = None,
        callbacks: Sequence[Callback] = (),
        captured: bool = True,
    ) -> None:
        like = optimiser.parameters[0]
        self.model, self.loss, self.optimiser = model, loss, optimiser
        self.train = DeviceData.upload(train, loss, like)
        self.validation = DeviceData.upload(validation, loss, like) if validation is not None else None
        self.epochs, self.batch_size, self.seed, self.clip_norm = epochs, batch_size, seed, clip_norm
        self.steps_per_epoch = math.ceil(len(train) / batch_size)
        self.factor = schedule(epochs * self.steps_per_epoch) if schedule else None
        self.base_rate = optimiser.learning_rate
        self.callbacks = list(callbacks)
        self.position = Position()
        self.meter = Meter()
        self.history: list[dict[str, Any]] = []
        self.step_seconds: list[float] = []
        self.captured = captured
        self._training = Steps(self._step, captured)
        self._judging = Steps(self._judge, captured)
        self._interval = 1  # steps between two readings of the metrics
        self.stop_requested = False
        self.began = time.perf_counter()  # what `elapsed` counts from; a run that first loads its data says when it did

    def fit(self) -> list[dict[str, Any]]:
        """Train until the last epoch. Returns the records of the epochs trained.

        Raises Interrupted between two batches if `stop_requested` was set, TrainingError at a loss that is not finite.
        """
        self.model.train()
        if self.position.sums:
            self.meter.sums = dict(self.position.sums)
        with ExitStack() as over:
            for callback in self.callbacks:
                callback.started(self)
                over.callback(callback.ended, self)
            self.position.planned = self.epochs
            with np.errstate(all="ignore"):  # what is not finite is an error here, and no news from a backend
                while self.position.epoch < self.epochs:
                    self._epoch()
            self.model.eval()
        return self.history

    def elapsed(self) -> float:
        """The seconds of the run so far, those before it was resumed among them."""
        now = time.perf_counter()
        self.position.elapsed += now - self.began
        self.began = now
        return self.position.elapsed

    def _epoch(self) -> None:
        self._epoch_began = time.perf_counter() - self.position.seconds
        order = epoch_order(len(self.train), self.seed, self.position.epoch)
        last_told = time.perf_counter()
        while self.position.step < self.steps_per_epoch:
            self._heed()
            self._advance(order)
            if time.perf_counter() - last_told > READ_EVERY:
                last_told = time.perf_counter()
                for callback in self.callbacks:
                    callback.stepped(self, self.meter.metrics(self.loss.correct is not None))
        self._set_rate(self.position.total_steps - 1)  # a run resumed after an epoch's last step has yet to
        record: dict[str, Any] = {
            "epoch": self.position.epoch + 1,
            "steps": self.position.total_steps,
            "learning_rate": self.optimiser.learning_rate,
            "train": self.meter.metrics(self.loss.correct is not None),
        }
        if self.validation is not None:
            record["validation"] = self.evaluate(self.validation, self._heed)
            if not math.isfinite(record["validation"]["loss"]):
                raise self._not_finite("the validation loss", f"after epoch {self.position.epoch + 1}")
        record["seconds"] = time.perf_counter() - self._epoch_began
        self.position.epoch += 1
        self.position.step, self.position.seconds = 0, 0.0
        self.meter, self.position.sums = Meter(), {}
        self.history.append(record)
        self.elapsed()
        for callback in self.callbacks:
            callback.epoch_ended(self, record)

    def _advance(self, order: NDArray[Any]) -> None:
        """The next steps of an epoch: as many as there are between two readings."""
        rows = _batches(order, self.batch_size, self.position.step, self._interval)
        first = self.position.total_steps
        each = []
        if self.captured and self.factor is not None:
            rates = [[self.base_rate * self.factor(first + number)] for number in range(len(rows))]
            each.append(self.optimiser.rate.like(rates))
        began, compiling = time.perf_counter(), self._training.compile_seconds
        losses, correct = self._training.run(self.train, rows, each, lambda number: self._set_rate(first + number))
        self.meter.add(losses, correct, rows.shape[1])
        self.position.step += len(rows)
        self.position.total_steps += len(rows)
        self._read()
        seconds = time.perf_counter() - began - (self._training.compile_seconds - compiling)
        self.step_seconds += [seconds / len(rows)] * len(rows)
        if seconds > READ_EVERY:
            self._interval = max(1, self._interval // 2)
        elif seconds < READ_EVERY / 2 and len(rows) == self._interval:
            self._interval *= 2

    def _step(self, x: Tensor, targets: Tensor, rate: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Forward, loss, backward, update on a batch, at a scheduled rate. Returns the loss and how many were right."""
        if rate is not None:
            self.optimiser.rate.assign(rate)
        outputs = self.model(x)
        loss = self.loss.value(outputs, targets)
        self.optimiser.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm(self.optimiser.parameters, self.clip_norm)
        self.optimiser.step()
        return loss, self.loss.correct(outputs, targets) if self.loss.correct else None

    def _judge(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss of a batch, and how many were correct."""
        outputs = self.model(x)
        correct = self.loss.correct(outputs, targets) if self.loss.correct else None
        return self.loss.value(outputs, targets), correct

    def evaluate(self, data: DeviceData, before_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The metrics of the model on other data, without training on it."""
        meter, done, order = Meter(), 0, np.arange(len(data))
        self.model.eval()
        try:
            with no_grad():
                while done * self.batch_size < len(data):
                    before_batch()
                    rows = _batches(order, self.batch_size, done, self._interval)
                    meter.add(*self._judging.run(data, rows), rows.shape[1])
                    done += len(rows)
        finally:
            self.model.train()
        meter.read()
        return meter.metrics(self.loss.correct is not None)

    @property
    def compile_seconds(self) -> float:
        """What tracing and compiling took so far."""
        return self._training.compile_seconds + self._judging.compile_seconds

    def step_median(self) -> float | None:
        """The median time of a step, in seconds, of the steps since the run was started or resumed."""
        return statistics.median(self.step_seconds) if self.step_seconds else None

    def _set_rate(self, step: int) -> None:
        """Give the optimiser the scheduled rate of a step, counted from the start of the run."""
        if self.factor is not None:
            self.optimiser.learning_rate = self.base_rate * self.factor(step)

    def _read(self) -> None:
        bad = self.meter.read()
        if bad is not None:
            step = self.position.step - bad + 1
            raise self._not_finite(
                "the loss", f"at epoch {self.position.epoch + 1}, step {step} of {self.steps_per_epoch}"
            )

    def _not_finite(self, what: str, where: str) -> TrainingError:
        state = self.model.state_dict()
        wrong = [name for name, values in state.items() if not np.isfinite(values).all()]
        which = f"nor are {len(wrong)} of {len(state)} parameters, first {wrong[0]}" if wrong else "the parameters are"
        return TrainingError(
            f"{what} is not finite {where} ({which}): lower the learning rate, or set training.clip_norm"
        )

    def _heed(self) -> None:
        """Stop here if that was asked for."""
        if not self.stop_requested:
            return
        self._read()
        self.position.sums = dict(self.meter.sums)
        self.position.seconds = time.perf_counter() - self._epoch_began
        self.elapsed()
        for callback in self.callbacks:
            callback.stopped(self)
        raise Interrupted


def _batches(order: NDArray[Any], size: int, first: int, most: int) -> NDArray[Any]:
    """Of an order the batches from number `first` on, at most so many, steps × rows. A smaller last one comes alone."""
    whole = min(len(order) // size - first, most)
    if whole > 0:
        return order[first * size : (first + whole) * size].reshape(whole, size)
    return order[first * size :].reshape(1, -1)
