"""The command line, called as the program is, but without the second that starting a process takes."""

import json
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from pycrograd_core.cli import main

TINY = [Path(__file__).parents[1] / "training" / name for name in ("tiny.yaml", "flowers.csv")]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a small configuration and its data."""
    for file in TINY:
        shutil.copy(file, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs a command to its end."""
    monkeypatch.setenv("COLUMNS", "120")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["pycrograd", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(ended.value.code or 0, *capsys.readouterr())

    return call


@pytest.fixture
def outcome():
    """What a run's folder holds of its result: metrics without times, and the model."""

    def read(folder):
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{**record, "seconds": None} for record in records], (folder / "model.safetensors").read_bytes()

    return read
