#!/usr/bin/env python3
"""The pure-Python backend on the digits network 64-64-32-10: 100 samples (8:2), batch 32, 10 epochs.

    python benchmarks/python_backend.py

Then one training step of it at batch 32, captured and eager in turn.

Seconds of plain Python mean little by themselves, so they are given as a multiple of a fixed load of plain Python
(method calls, index arithmetic, float multiply-adds), measured in turn with the runs. The project that this one grew
out of took 49 times that load for the same training.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from array import array
from pathlib import Path

from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries

CONFIG = Path(__file__).parents[1] / "configs" / "digits_normal.yaml"
ROUNDS = 5
SEED_LOADS = 49


class Cells:
    """A matrix as a first version of such a project writes it."""

    def __init__(self, rows: int, cols: int) -> None:
        self.cols = cols
        self.data = array("f", [0.5]) * (rows * cols)

    def __getitem__(self, index: tuple[int, int]) -> float:
        row, col = index
        return self.data[row * self.cols + col]

    def __setitem__(self, index: tuple[int, int], value: float) -> None:
        row, col = index
        self.data[row * self.cols + col] = value


def load() -> float:
    """Seconds for 100 products of a 64 × 64 matrix and a vector, element by element."""
    start = time.perf_counter()
    a, x, y = Cells(64, 64), Cells(64, 1), Cells(64, 1)
    for _ in range(100):
        for m in range(64):
            for k in range(64):
                y[m, 0] += a[m, k] * x[k, 0]
    return time.perf_counter() - start


def training() -> float:
    """Seconds for the ten epochs, captured, validation included."""
    config = load_config(CONFIG, registries(), ["backend=python", "data.samples=100", "training.checkpoint_every=0"])
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(config, out=Path(folder) / "run")
        run.trainer.callbacks.clear()
        start = time.perf_counter()
        run.trainer.fit()
        return time.perf_counter() - start


def step(captured: bool) -> float:
    """Seconds of one step at batch 32: of several, after those that trace and compile."""
    settings = ["backend=python", "data.samples=40", "training.checkpoint_every=0", "data.validation=0.2"]
    config = load_config(CONFIG, registries(), settings)
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(config, out=Path(folder) / "run", captured=captured)
        run.trainer.callbacks.clear()
        run.trainer.epochs = 6
        run.trainer.fit()
        return statistics.median(run.trainer.step_seconds[2:])


def main() -> None:
    """Measure in turn, print the ratios."""
    pairs = [(load(), training()) for _ in range(ROUNDS)]
    units, runs = zip(*pairs, strict=True)
    multiple = statistics.median(run / unit for unit, run in pairs)
    print(f"load {statistics.median(units):.3f} s, training {statistics.median(runs):.3f} s: {multiple:.2f} × the load")
    print(f"the earlier implementation took {SEED_LOADS} × the load: this one is {SEED_LOADS / multiple:.1f}× faster")
    steps = [(step(captured=False), step(captured=True)) for _ in range(ROUNDS)]
    ratio = statistics.median(eager / captured for eager, captured in steps)
    eager, captured = (statistics.median(part) * 1e3 for part in zip(*steps, strict=True))
    print(f"a step at batch 32: eager {eager:.1f} ms, captured {captured:.1f} ms: {ratio:.2f}× faster captured")


if __name__ == "__main__":
    main()
