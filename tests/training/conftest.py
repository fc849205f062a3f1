"""A run that takes milliseconds, and what its folder holds."""

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries

FILES = [Path(__file__).with_name(name) for name in ("tiny.yaml", "flowers.csv")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a small configuration and its data."""
    for file in FILES:
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(here):
    """Makes a run of the small configuration: `start("training.epochs=2", out=…, resume=…, callbacks=…)`."""
    return lambda *settings, **options: TrainingRun(load_config("tiny.yaml", registries(), settings), **options)


@pytest.fixture
def numbers():
    """All that a run's folder holds except for times: metrics, summary, model, and the newest checkpoint."""

    def read(folder):
        newest = max((folder / "checkpoints").glob("step-*"))
        with safe_open(newest, "numpy") as file:
            tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
            position = json.loads(file.metadata()["position"])
        summary = folder / "summary.json"
        return {
            "metrics": [timeless(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()],
            "summary": timeless(json.loads(summary.read_text())) if summary.exists() else None,
            "model": (folder / "model.safetensors").read_bytes() if summary.exists() else None,
            "position": timeless(position),
            "tensors": tensors,
        }

    return read


def timeless(record):
    return {key: value for key, value in record.items() if key not in ("seconds", "elapsed")}


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """A folder with the IDX files of 120 images that are noise."""
    folder = tmp_path_factory.mktemp("mnist")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 28, 28), np.uint8), np.arange(120, dtype=np.uint8) % 10
    for name, values in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        (folder / f"{name}.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return folder
