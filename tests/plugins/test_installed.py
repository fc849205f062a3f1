"""The examples, and what docs/plugins.md shows beside them, installed into a scratch environment as by a stranger."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
EXAMPLES = [
    ROOT / "examples" / name for name in ("lion", "residual", "sklearn_contestant", "spirals", "swish", "tensorboard")
]

pytestmark = pytest.mark.slow

CONFIG = """
kind: train
name: all
data: {dataset: spirals, samples: 120, arms: 2}
model: [linear: 16, residual: 8, linear: 2]
loss: cross_entropy
optimiser: {name: lion, learning_rate: 0.01}
schedule: {name: inverse_root, warmup: 6}
callbacks: [tensorboard]
training: {epochs: 3, batch_size: 16}
"""
PROJECT = """
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = ["pycrograd"]

[project.entry-points.pycrograd]
{name} = "{name}"
"""
CONTESTANTS = """
import os

from pycrograd_core.benchmark import Work
from pycrograd_core.plugins import hookimpl
from pycrograd_sklearn_contestant import mlp_classifier


def cheat(problem):
    work = mlp_classifier(problem)
    first = work.call()
    return Work(lambda: first, work.losses)


def crash(problem):
    raise OSError("no driver")


def vanish(problem):
    os._exit(3)


@hookimpl
def pycrograd_register_contestants():
    return {"cheat": cheat, "crash": crash, "vanish": vanish, "unsendable": lambda problem: cheat(problem)}
"""


def write_project(folder, name, source):
    project = folder / name
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT.format(name=name))
    (project / f"{name}.py").write_text(source)
    return project


@pytest.fixture(scope="module")
def plugins(shared_environment):
    """The environment with the examples in it, and one more plugin of all that the page shows without a file."""
    shown = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(shown) == 3
    small = write_project(shared_environment.folder, "small", "\n".join(shown))
    shared_environment.install(*EXAMPLES, small)
    return shared_environment


@pytest.fixture(scope="module")
def name(plugins):
    """The backend that is installed."""
    (found,) = json.loads(plugins.check("pycrograd", "backends", "--json"))
    return found["name"]


def test_check_tries_the_op(plugins, name):
    command = ("pycrograd", "check", name, "--tier", "gradients", "--only", "gradients/swish*", "--json")
    results = json.loads(plugins.check(*command))["checks"]
    assert {(each["check"], each["outcome"]) for each in results} == {
        ("gradients/swish float32", "passed"),
        ("gradients/swish float64", "passed"),
    }


def test_a_plugin_whose_op_cannot_be_checked_is_told_of(plugins, name, tmp_path):
    source = "from pycrograd_core.plugins import hookimpl\n\n@hookimpl\ndef pycrograd_register_ops():\n    return [3]\n"
    plugins.install(write_project(tmp_path, "odd", source))
    done = plugins.run("pycrograd", "check", name, "--only", "gradients/swish float32", "--json")
    plugins.check("uv", "pip", "uninstall", "--quiet", "odd")
    assert done.returncode == 0
    assert "the plugin 'odd' (odd): 3 is no op: make one with define_op\n" in done.stderr


READ = """
import json, struct, sys
from pathlib import Path
from tensorboardX.proto.event_pb2 import Event

for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])  # a record: length, its checksum, the event, its checksum
        event, data = Event.FromString(data[12 : 12 + length]), data[16 + length :]
        scalars = {value.tag: value.simple_value for value in event.summary.value}
        print(json.dumps([path.name, event.step, event.session_log.status, scalars]))
"""


def events(plugins, folder):
    """What TensorBoard finds, file by file: scalars by step, and from which step on those of older files are gone."""
    found = {}
    for line in plugins.check(plugins.python, "-c", READ, folder).splitlines():
        file, step, status, scalars = json.loads(line)
        at = found.setdefault(file, {"scalars": {}, "purged": None})
        at["scalars"].setdefault(step, {}).update(scalars)
        if status == 1:
            at["purged"] = step
    return [{**each, "scalars": {step: s for step, s in each["scalars"].items() if s}} for each in found.values()]


def logged(record):
    """What the callback makes of a line of metrics.jsonl, in the format's float32."""
    pairs = {f"{name}/{part}": value for part in ("train", "validation") for name, value in record[part].items()}
    return {tag: float(np.float32(value)) for tag, value in {**pairs, "learning_rate": record["learning_rate"]}.items()}


def test_a_run_with_all_of_them(plugins, tmp_path):
    """And resumed for longer: what TensorBoard is shown is what metrics.jsonl says."""
    (tmp_path / "all.yaml").write_text(CONFIG)
    for options in (["--epochs", "2"], ["--resume"]):
        plugins.check("pycrograd", "run", "all.yaml", *options, cwd=tmp_path)
    folder = tmp_path / "runs" / "all"
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(records) == 3
    before, after = events(plugins, folder / "tensorboard")
    assert (before["purged"], after["purged"]) == (1, records[1]["steps"] + 1)
    assert {**before["scalars"], **after["scalars"]} == {record["steps"]: logged(record) for record in records}
    assert before["scalars"].keys().isdisjoint(after["scalars"])
    plugins.check("pycrograd", "run", folder / "config.yaml", "--out", "again", cwd=tmp_path)
    again = [json.loads(line) for line in (tmp_path / "again" / "metrics.jsonl").read_text().splitlines()]
    assert [record["train"] for record in again] == [record["train"] for record in records]


@pytest.mark.parametrize(
    "example", [path for path in EXAMPLES if path.name != "sklearn_contestant"], ids=lambda path: path.name
)
def test_the_commands_of_an_examples_readme(plugins, tmp_path, example):
    readme = (example / "README.md").read_text("utf-8")
    folder = shutil.copytree(example, tmp_path / "example")
    commands = re.findall(r"^pycrograd .*$", readme, re.MULTILINE)
    assert commands
    for command in commands:
        plugins.check("bash", "-c", command, cwd=folder)
    for body in re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL):
        plugins.check(plugins.python, "-c", body)
    for run in folder.glob("runs/*"):
        accuracy = json.loads((run / "summary.json").read_text())["validation"]["accuracy"]
        assert accuracy > 0.9


def test_what_the_page_shows_without_a_file(plugins, tmp_path):
    (tmp_path / "table.csv").write_text("x,y\n" + "".join(f"{i / 50},{(i / 50) ** 2}\n" for i in range(50)))
    (tmp_path / "run.yaml").write_text(
        "kind: train\nname: small\ndata: {dataset: csv, path: table.csv, task: regression}\n"
        "model: {name: tower, depth: 1}\nloss: {name: huber, delta: 0.5}\nschedule: inverse_root\n"
        "optimiser: {name: lion, learning_rate: 0.01}\ntraining: {epochs: 30, batch_size: 10}\n"
    )
    plugins.check("pycrograd", "run", "run.yaml", cwd=tmp_path)
    lines = (tmp_path / "runs" / "small" / "metrics.jsonl").read_text().splitlines()
    first, *_, last = (json.loads(line)["validation"]["loss"] for line in lines)
    assert last < first / 2


def test_a_plugin_that_is_blocked_is_not_there(plugins, tmp_path):
    (tmp_path / "all.yaml").write_text(CONFIG)
    done = plugins.run("pycrograd", "run", "all.yaml", cwd=tmp_path, PYCROGRAD_BLOCK_PLUGINS="tensorboard, swish")
    assert done.returncode == 2
    assert "all.yaml:9:13: callbacks.0: there is no callback 'tensorboard'; Known: none" in done.stderr


def test_a_library_that_is_gone_is_told_of_when_it_is_missed(plugins, tmp_path):
    (tmp_path / "all.yaml").write_text(CONFIG)
    (tmp_path / "tensorboardX.py").write_text("raise ImportError('half uninstalled')\n")
    done = plugins.run("pycrograd", "run", "all.yaml", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "raise ImportError('half uninstalled')" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        "error: the callback 'tensorboard' failed in started: ImportError: half uninstalled; once that"
    )
    plugins.check("pycrograd", "run", "all.yaml", "--set", "callbacks=[]", cwd=tmp_path, PYTHONPATH=str(tmp_path))


def test_contestants_take_part_and_the_wrong_ones_are_told_of(plugins, name):
    bad = write_project(plugins.folder, "bad", CONTESTANTS)
    plugins.install(bad)
    script = ROOT / "benchmarks" / "training_step.py"
    options = ("--networks", "normal", "--rounds", "1", "--backends", name, "--json")
    done = plugins.run(plugins.python, script, *options)
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)["normal"]
    right = {who for who, row in rows.items() if "error" not in row}
    assert right == {f"{name}, eager", f"{name}, captured", f"{name}, scan", "numpy by hand", "sklearn"}
    assert all(rows[who]["seconds"] > 0 and rows[who]["vs sklearn"] > 0 for who in right)
    assert rows["cheat"]["error"].startswith(
        "wrong: its first losses are 2.39857, 2.39857, 2.39857, they should be 2.39857, 2.36"
    )
    assert rows["crash"]["error"] == "failed: OSError: no driver"
    assert rows["vanish"]["error"] == "failed: its process has ended"
    assert rows["unsendable"]["error"].startswith("failed: it must be a function of a module, or a partial of one: ")
    plugins.check("uv", "pip", "uninstall", "--quiet", "bad")
    shown = plugins.check(plugins.python, script, *options[:-1])
    assert re.search(r"^  sklearn +[\d,]+ µs", shown, re.MULTILINE)
