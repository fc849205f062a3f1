"""What a run shows: a bar on a terminal, plain lines elsewhere, nothing beside JSON."""

import fcntl
import io
import json
import os
import re
import struct
import subprocess
import sys
import termios

import pytest

from places import BACKENDS
from pycrograd_core import get_backend
from pycrograd_core.cli.progress import Display, LiveDisplay, PlainDisplay, display

METRICS = r"loss \d+\.\d{4}, accuracy \d+\.\d\d%"
EPOCH = rf"/3  train {METRICS}  validation {METRICS}  [\d,]+ samples/s"


@pytest.mark.parametrize("name", BACKENDS)
def test_plain_lines(here, cli, name):
    ended = cli("run", "tiny.yaml", "--backend", name)
    assert (ended.code, ended.out) == (0, "")
    device = get_backend(name).device
    place = re.escape(f"{name} on {device}" if device else name)
    expected = [
        rf"227 parameters, 40 samples to train on and 10 to validate, backend {place}",
        *(f"epoch {epoch}{EPOCH}" for epoch in (1, 2, 3)),
        rf"done: validation {METRICS}, \d+\.\d s; see runs/tiny",
    ]
    for line, pattern in zip(ended.err.splitlines(), expected, strict=True):
        assert re.fullmatch(pattern, line)


def test_plain_lines_of_what_is_not_there(here, cli):
    csv = "data={dataset: csv, path: flowers.csv, task: regression, validation: 0}"
    settings = ["--set", csv, "--set", "loss=mean_squared_error", "--set", "model.2.linear=1"]
    ended = cli("run", "tiny.yaml", *settings, "--epochs", 1)
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert re.fullmatch(r"epoch 1/1  train loss \d+\.\d{4}  [\d,]+ samples/s", lines[1])
    assert re.fullmatch(r"done: training loss \d+\.\d{4}, \d+\.\d s; see runs/tiny", lines[2])


def test_json_and_nothing_else(here, cli):
    ended = cli("run", "tiny.yaml", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    assert json.loads(ended.out) == json.loads((here / "runs" / "tiny" / "summary.json").read_text())


def test_json_of_a_complete_run_that_is_resumed(here, cli):
    first = cli("run", "tiny.yaml", "--json")
    assert cli("run", "tiny.yaml", "--json", "--resume") == first
    plain = cli("run", "tiny.yaml", "--resume")
    assert re.fullmatch(rf"done: validation {METRICS}, \d+\.\d s; see runs/tiny\n", plain.err)


def on_a_terminal(*words, columns=80):
    """Run a command on a terminal of this width. Returns its exit code, stdout, and what the terminal got."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR", "CI")}
    with subprocess.Popen(
        [sys.executable, "-c", "from pycrograd_core.cli import main; main()", *words],
        stdin=slave, stdout=subprocess.PIPE, stderr=slave, env={**environment, "TERM": "xterm-256color"}, text=True,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = bytearray()
        try:
            while part := os.read(master, 65536):
                shown += part
        except OSError:
            pass  # the other end is closed
        os.close(master)
        out = process.stdout.read()
    return process.returncode, out, shown.decode()


def test_a_bar_on_a_terminal(here):
    code, out, shown = on_a_terminal("run", "tiny.yaml", "--epochs", "90")
    assert (code, out) == (0, "")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r\n", re.sub(r"\x1b\[[0-9;]*m", "", shown))
    lines = [line for line in re.split(r"[\r\n]+", text) if line]
    bars = [line for line in lines if "step" in line]
    moving = re.compile(r"epoch \d+/90  step \d+/270 [━╸╺ ]{24} (\d+:\d\d:\d\d|-:--:--) left")
    assert bars
    for line in bars:
        assert moving.fullmatch(line), line
    assert any("0:00:0" in line for line in bars), "the time left"
    metrics = [line for line in lines if re.fullmatch(rf"{METRICS}  [\d,]+ samples/s", line)]
    assert metrics
    assert max(map(len, bars + metrics)) <= 80
    epochs = [line for line in lines if re.match(r"epoch +\d+/90  train", line)]
    assert len(epochs) == 90
    assert re.fullmatch(rf"done: validation {METRICS}, \d+\.\d s; see runs/tiny", lines[-1])
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h"), "the cursor is back"


def test_a_terminal_shows_a_mistake_and_nothing_of_the_bar(here):
    code, out, shown = on_a_terminal("run", "tiny.yaml", "--set", "optimiser.learning_rate=1e20")
    assert (code, out) == (1, "")
    assert shown.rstrip().endswith("lower the learning rate, or set training.clip_norm")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")


@pytest.mark.parametrize(
    ("quiet", "terminal", "kind"),
    [(False, True, LiveDisplay), (False, False, PlainDisplay), (True, True, Display), (True, False, Display)],
)
def test_the_display_suits_the_output(quiet, terminal, kind):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    assert type(display(quiet, stream)) is kind
    assert stream.getvalue() == ""
