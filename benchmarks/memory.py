#!/usr/bin/env python3
"""Peak memory of training 64-8192-4096-2048-10 (42 million weights), as a multiple of the bytes of its weights.

    python benchmarks/memory.py [--backend B] [--samples 40] [--epochs 2] [--no-capture]

Counts the growth of the process's peak resident memory from just before the model is built to the end of training.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries

CONFIG = Path(__file__).parents[1] / "configs" / "digits_bigger.yaml"


def peak_bytes() -> int:
    """The peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Train, compare the peaks, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend")
    parser.add_argument("--samples", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--no-capture", action="store_true")
    options = parser.parse_args()
    overrides = [f"data.samples={options.samples}", f"training.epochs={options.epochs}"]
    if options.backend:
        overrides.append(f"backend={options.backend}")
    config = load_config(CONFIG, registries(), overrides)
    import sklearn.datasets

    sklearn.datasets.load_digits()
    before = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        run = TrainingRun(config, out=Path(folder) / "run", captured=not options.no_capture)
        weights = 4 * sum(p.rows * p.cols for p in run.trainer.model.parameters())
        run.trainer.callbacks.clear()
        run.trainer.fit()
        trained = peak_bytes() - before
        run.folder.save(run.trainer)
        saved = peak_bytes() - before
    how = "eager" if options.no_capture else "captured"
    print(f"weights {weights / 2**20:.0f} MiB, backend {run.matrix.backend}, {how}, batch {len(run.trainer.train)}")
    print(f"training: peak growth {trained / 2**20:.0f} MiB, {trained / weights:.2f} × the weights")
    print(f"with a checkpoint written: {saved / 2**20:.0f} MiB, {saved / weights:.2f} × the weights")


if __name__ == "__main__":
    main()
