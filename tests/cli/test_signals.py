"""Ctrl-C and its like: the run stops with a checkpoint saved, says how to go on, and can."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pycrograd_core.training import build, trainer
from pycrograd_core.training.trainer import Trainer

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
STEP = 5  # the second of the second epoch
TO_GO_ON = "to go on: pycrograd run run/config.yaml --out run --resume\n"


@pytest.fixture(autouse=True)
def heeded():
    """A parent that ignores a signal hands that on, and the process that runs these tests may have such a parent."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signalled(monkeypatch, number, times=1, step=STEP):
    """Send this process signals before a step, as a user would who presses Ctrl-C just then."""
    original = Trainer._advance

    def call(self, order):
        if self.position.total_steps == step - 1:
            for _ in range(times):
                os.kill(os.getpid(), number)
        original(self, order)

    monkeypatch.setattr(Trainer, "_advance", call)
    monkeypatch.setattr(trainer, "READ_EVERY", -1)  # one step between two readings


@pytest.fixture
def whole(here, cli, outcome):
    """What the run gives if it is let alone."""
    assert cli("run", "tiny.yaml", "--out", "whole").code == 0
    return outcome(here / "whole")


def checkpoints():
    return sorted(path.name for path in Path("run/checkpoints").iterdir())


@SIGNALS
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["lines", "json"])
def test_one_signal_stops_between_two_steps(here, cli, outcome, whole, monkeypatch, number, as_json):
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        signalled(patch, number)
        ended = cli("run", "tiny.yaml", "--out", "run", *as_json)
    assert (ended.code, ended.out) == (130, "")
    assert ended.err.endswith(f"interrupted; {TO_GO_ON}")
    assert ("epoch 1/3" in ended.err) != bool(as_json)
    assert checkpoints() == ["step-00000003.safetensors", f"step-{STEP:08d}.safetensors"]
    assert not Path("run/summary.json").exists()
    assert signal.getsignal(number) is handler

    program, *words = shlex.split(ended.err.splitlines()[-1].partition("to go on: ")[2])
    assert program == "pycrograd"
    resumed = cli(*words)
    assert (resumed.code, resumed.out) == (0, "")
    assert "resumed after epoch 1, step 2\n" in resumed.err
    assert outcome(here / "run") == whole


def test_the_advice_works_for_any_folder_and_any_command(here, cli, monkeypatch, outcome):
    out = "it's a folder"
    settings = ["--seed", 3, "--epochs", 2, "--set", "optimiser.momentum=0.5"]
    assert cli("run", "tiny.yaml", *settings, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT)
        ended = cli("run", "tiny.yaml", *settings, "--out", out)
    assert ended.code == 130
    assert cli(*shlex.split(ended.err.splitlines()[-1].partition("to go on: ")[2])[1:]).code == 0
    assert outcome(here / out) == outcome(here / "whole")


@SIGNALS
def test_a_second_signal_stops_at_once_and_leaves_the_last_checkpoint(here, cli, outcome, whole, monkeypatch, number):
    with monkeypatch.context() as patch:
        signalled(patch, number, times=2)
        ended = cli("run", "tiny.yaml", "--out", "run")
    assert ended.code == 130
    assert ended.err.endswith(
        "stopped at once; to go on from the last checkpoint: pycrograd run run/config.yaml --out run --resume\n"
    )
    assert checkpoints() == ["step-00000003.safetensors"]
    assert cli("run", "tiny.yaml", "--out", "run", "--resume").code == 0
    assert outcome(here / "run") == whole


def test_a_second_signal_in_the_midst_of_saving(here, cli, outcome, whole, monkeypatch):
    original = os.fsync

    def fsync(file):
        if STEP in (trainer.position.total_steps for trainer in trainers):
            os.kill(os.getpid(), signal.SIGINT)
        original(file)

    trainers = []
    with monkeypatch.context() as patch:
        signalled(patch, signal.SIGINT)
        advance = Trainer._advance
        patch.setattr(Trainer, "_advance", lambda self, order: (advance(self, order), trainers.append(self)))
        patch.setattr(os, "fsync", fsync)
        assert cli("run", "tiny.yaml", "--out", "run").code == 130
    assert checkpoints() == ["step-00000003.safetensors"], "and no half-written file"
    assert cli("run", "tiny.yaml", "--out", "run", "--resume").code == 0
    assert outcome(here / "run") == whole


def test_a_signal_in_the_last_step_comes_too_late(here, cli, outcome, whole, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", lambda *_: {"loss": 1.0, "accuracy": 0.5})
        signalled(patch, signal.SIGINT, step=9)
        assert cli("run", "tiny.yaml", "--out", "run").code == 0
    assert Path("run/summary.json").exists()


@SIGNALS
def test_a_signal_while_the_data_are_loaded(here, cli, monkeypatch, number):
    monkeypatch.setattr(build, "load", lambda *_: os.kill(os.getpid(), number))
    ended = cli("run", "tiny.yaml")
    assert (ended.code, ended.out, ended.err) == (130, "", "")
    assert not any((here / "runs").iterdir())


def test_a_process_that_was_started_to_ignore_a_signal_does(here, cli, outcome, whole, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signalled(monkeypatch, signal.SIGINT, times=3)
    assert cli("run", "tiny.yaml", "--out", "run").code == 0
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    assert outcome(here / "run") == whole


PROGRAM = """if True:
    import os, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pycrograd_core.cli import main
"""


@SIGNALS
def test_another_process_is_stopped_and_resumed(here, cli, outcome, number):
    words = ["run", "tiny.yaml", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM + "    main()", *words, "--epochs", "1000000"], stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and len(epochs_done()) < 2:
            time.sleep(0.01)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after this batch, with a checkpoint; once more stops at once\n" in told
    assert told.endswith(f"interrupted; {TO_GO_ON}")
    epochs = len(epochs_done()) + 1
    resumed = cli(*words, "--resume", "--epochs", epochs)
    assert resumed.code == 0
    assert f"for {epochs} epochs in place of 1000000; the schedule now runs over those\n" in resumed.err
    assert cli("run", "tiny.yaml", "--out", "whole", "--epochs", epochs).code == 0
    assert outcome(here / "run") == outcome(here / "whole")


def test_another_process_that_has_not_begun(here):
    program = f"""{PROGRAM}
    class WhenTyperIsImported:
        def find_spec(self, name, *_):
            if name == "typer":
                os.kill(os.getpid(), signal.SIGINT)
    sys.meta_path.insert(0, WhenTyperIsImported())
    main()"""
    done = subprocess.run([sys.executable, "-c", program, "backends"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def epochs_done():
    metrics = Path("run/metrics.jsonl")
    return metrics.read_text().splitlines() if metrics.exists() else []
