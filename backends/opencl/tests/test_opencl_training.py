"""Training on a device. That the curves are those of the other backends is for `tests/training/test_parity.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[3] / "configs" / "moons.yaml"


def losses(folder):
    return [json.loads(line)["train"]["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_train_on_one_device_at_once(pocl, tmp_path):
    """With one cache, which neither finds filled."""
    environment = os.environ | {"PYCROGRAD_CACHE": str(tmp_path / "cache")}
    pycrograd = Path(sys.executable).with_name("pycrograd")
    command = [str(pycrograd), "run", str(CONFIG), "--backend", "opencl", "--device", pocl.label, "--epochs", "3"]
    folders = [tmp_path / "one", tmp_path / "other"]
    running = [
        subprocess.Popen([*command, "--out", str(folder)], env=environment, stdout=subprocess.DEVNULL)
        for folder in folders
    ]
    assert [process.wait() for process in running] == [0, 0]
    one, other = map(losses, folders)
    assert len(one) == 3
    assert one == other
