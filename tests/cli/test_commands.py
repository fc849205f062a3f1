"""Every command but `run`, and what each says of itself."""

import gzip
import itertools
import json
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest

import pycrograd_core
from places import BACKENDS
from pycrograd_core.cli import seed_commands
from pycrograd_core.config import load_config
from pycrograd_core.plugins import candidates
from pycrograd_core.training import registries
from pycrograd_core.training.build import build_model

CONFIGS = Path(__file__).parents[2] / "configs"

OPTIONS = {
    "run": "CONFIG --backend --device --seed --epochs --samples --set --out --resume --json",
    "backends": "--json --timeout",
    "check": "BACKEND --device --tier --only --json --html --jobs --timeout --list",
    "doctor": "--json --timeout",
    "inspect": "CONFIG --backend --set --program --json",
    "graph": "CONFIG --out --backend --set --raw",
    "tune": "CONFIG --backend --device --seconds --set --json",
    "train_mlp": "--epochs --length --backend",
    "train_digits": "--epochs --length --backend",
    "train_mnist": "--epochs --length --backend --path",
    "run_digits_benchmark": "--epochs --length --backend",
    "new-backend": "NAME --language --out",
}


def test_help_lists_every_command(cli):
    ended = cli("--help")
    assert ended.code == 0
    assert OPTIONS.keys() <= set(re.findall(r"^  ([\w-]+)  ", ended.out, re.MULTILINE))
    assert cli().out + cli().err == ended.out, "no arguments ask for help"


@pytest.mark.parametrize("command", OPTIONS)
def test_help_lists_every_option_and_what_it_does(cli, command):
    ended = cli(command, "--help")
    assert (ended.code, ended.err) == (0, "")
    explained = dict(re.findall(r"^  (?:-\w, )?(--\w+|CONFIG|BACKEND|NAME)(?: \S+)*  +(.+)", ended.out, re.MULTILINE))
    assert explained.keys() == {*OPTIONS[command].split(), "--help"}
    assert all(explained.values())


def test_version(cli):
    assert cli("--version") == (0, f"pycrograd {pycrograd_core.__version__}\n", "")


# backends


def test_backends(cli):
    ended = cli("backends")
    assert (ended.code, ended.err) == (0, "")
    heading, *rows = ended.out.splitlines()
    assert heading.split() == ["backend", "status", "distribution", "runtime", "devices"]
    assert [row.split()[0] for row in rows if not row.startswith(" ")] == [*candidates()], "the rest is folded"


def test_backends_as_json(cli):
    ended = cli("backends", "--json")
    assert (ended.code, ended.err) == (0, "")
    rows = {row["name"]: row for row in json.loads(ended.out)}
    assert rows.keys() == candidates().keys()
    keys = {"name", "status", "distribution", "version", "contract", "summary", "runtime", "devices", "reason"}
    for name, row in rows.items():
        assert set(row) == keys
        usable = name in BACKENDS
        assert (row["status"] == "usable") == usable
        assert bool(row["devices"]) == usable
        assert usable or row["reason"]


# inspect

EVERY_CONFIG = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem == "digits_bigger" else [])
    for path in sorted(CONFIGS.glob("*.yaml"))
]
INPUTS = {"digits": (64, 10), "mnist": (784, 10), "moons": (2, 1)}


@pytest.fixture
def report(cli):
    """What `inspect --json` says of a configuration."""

    def inspect(path, *words):
        ended = cli("inspect", path, "--json", *words)
        assert (ended.code, ended.err) == (0, "")
        return json.loads(ended.out)

    return inspect


@pytest.mark.parametrize("path", [path for each in EVERY_CONFIG for path in each.values], ids=lambda path: path.stem)
def test_inspect_knows_sizes_and_flops(report, path):
    config = load_config(path, registries())
    found = report(path)
    assert set(found) == {"name", "batch_size", "dtype", "backend", "layers", "total", "step", "program"}
    assert (found["name"], found["dtype"]) == (config.name, "float32")
    samples = config.data.samples
    held_out = round(samples * config.data.validation) if samples else 0
    rows = found["batch_size"]
    assert rows == min(config.training.batch_size, samples - held_out if samples else config.training.batch_size)

    width, products = INPUTS[config.data.dataset.name][0], 0
    for component, layer in zip(config.model, found["layers"], strict=True):
        assert set(layer) == {"name", "output", "parameters", "flops", "parameter_bytes", "activation_bytes"}
        if component.name == "linear":
            out = component.options["out_features"]
            expected = {
                "name": f"Linear({width} → {out})",
                "output": [rows, out],
                "parameters": (width + 1) * out,
                "flops": 2 * rows * width * out + rows * out,
            }
            assert {key: layer[key] for key in expected} == expected
            # x W, then the gradients of W and, but for the data's, of x
            products += 2 * rows * width * out * (3 if products else 2)
            width = out
        else:
            assert (layer["parameters"], layer["output"]) == (0, [rows, width])
        assert layer["parameter_bytes"] == 4 * layer["parameters"]
        assert layer["activation_bytes"] == 4 * rows * width
    totals = {key: sum(layer[key] for layer in found["layers"]) for key in found["total"]}
    assert found["total"] == totals
    others = 2 * found["total"]["parameters"] + 40 * rows * sum(layer["output"][1] for layer in found["layers"])
    assert products < found["step"]["flops"] < products + others
    assert found["step"]["bytes"] > 3 * found["total"]["parameter_bytes"], "read twice and written, at least"
    assert found["step"]["ops"] > 3 * len(found["layers"])


@pytest.mark.parametrize("path", EVERY_CONFIG)
def test_inspect_counts_the_parameters_that_are_built(report, path):
    config = load_config(path, registries())
    model = build_model(config, registries(), *INPUTS[config.data.dataset.name])
    assert report(path)["total"]["parameters"] == sum(p.rows * p.cols for p in model.parameters())


def test_inspect_shows_tables(cli):
    ended = cli("inspect", CONFIGS / "moons.yaml")
    assert (ended.code, ended.err) == (0, "")
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert re.fullmatch(r"moons: a batch of 32, float32, on \w+", lines[0])
    assert lines[1].split() == ["layer", "output", "parameters", "forward", "FLOPs", "weights", "activations"]
    assert re.fullmatch(r"Linear\(2 → 16\) +32×16 +48 +2,560 +192 B +2 KiB", lines[2])
    assert re.fullmatch(r"all +337 .+", lines[7])
    saved = {row[0]: row for line in lines[9:15] if (row := re.split(" {2,}", line))}
    assert saved["a training step"] == ["a training step", "as written", "after the passes", "saved"]
    _, before, after, share = saved["kernels launched"]
    assert share == f"{1 - int(after) / int(before):.0%}"
    assert len([line for line in lines[16:] if re.match(r" *(?:┊ *)?\d+ ", line)]) == int(after)
    assert any("0.weight′ 2×16" in line and "→ sgd_update(0.weight, ·, rate)" in line for line in lines)


def launched(steps):
    """The kernels among the steps of a report: what a row-local region holds are kernels of their own."""
    return [each for step in steps for each in (launched(step["steps"]) if "steps" in step else [step])]


@pytest.mark.parametrize("path", EVERY_CONFIG)
def test_inspect_tells_what_the_passes_save(report, path):
    found = report(path)
    before, after = found["program"]["before"], found["program"]["after"]
    for program in (before, after):
        assert set(program) == {"kernels", "flops", "bytes", "memory", "steps"}
        steps = launched(program["steps"])
        assert program["kernels"] == len(steps)
        assert program["flops"] == sum(step["flops"] for step in steps)
        assert program["bytes"] == sum(step["bytes"] for step in steps)
        made = [out for step in steps for out in step["outputs"]]
        assert program["memory"]["unplanned"] == sum(4 * math.prod(out["shape"]) for out in made)
        assert len({out["name"] for out in made}) == len(made)
        assert {"loss", "correct"} <= {out["name"] for out in made}
        assert 0 < program["memory"]["planned"] < program["memory"]["unplanned"]
    assert found["step"] == {"ops": before["kernels"], "flops": before["flops"], "bytes": before["bytes"]}
    assert after["kernels"] < 0.6 * before["kernels"]
    assert after["bytes"] < 0.75 * before["bytes"]
    layers = sum(layer["parameters"] > 0 for layer in found["layers"])
    updates = [step for step in launched(after["steps"]) if step["kind"] == "update"]
    weights = [step for step in updates if "matmul" in step["ops"]]
    assert len(weights) == layers, "each gradient of weights is folded into their update"
    assert all(step["outputs"][-1]["name"].endswith(".weight′") for step in weights)
    assert {step["kind"] for step in launched(before["steps"])} == {"op"}


@pytest.mark.parametrize("when", ["before", "after"])
def test_inspect_lists_all_of_a_program(cli, report, when):
    path = CONFIGS / "digits_longer.yaml"
    kernels = launched(report(path)["program"][when]["steps"])
    ended = cli("inspect", path, "--program", when)
    assert (ended.code, ended.err) == (0, "")
    heading, _, *lines = ended.out.splitlines()
    assert heading.endswith(f", {when} the passes")
    numbers = [int(found[1]) for line in lines if (found := re.match(r" *(?:┊ *)?(\d+) ", line))]
    assert numbers == list(range(1, len(kernels) + 1))
    text = re.sub(r"\s", "", "".join(lines))
    for kernel in kernels[:3] + kernels[-3:]:
        assert re.sub(r"\s", "", kernel["computes"].split("; ")[0]) in text


def test_inspect_shows_what_repeats_once(cli):
    ended = cli("inspect", CONFIGS / "digits_longer.yaml")
    lines = ended.out.splitlines()
    assert len(lines) < 60
    assert any(re.match(r"… 27 times more", line) for line in lines), "of the hidden layers"
    assert any("⋮ like these 2, 27 times more" in line for line in lines), "of their updates"


@pytest.mark.parametrize(
    ("optimiser", "memory"),
    [
        ("{name: sgd, momentum: 0.9, weight_decay: 0.01}", ["velocity"]),
        ("{name: adam}", ["mean", "square", "mean_share", "square_share"]),
    ],
)
def test_inspect_names_what_an_optimiser_remembers(here, report, optimiser, memory):
    program = report("tiny.yaml", "--set", f"optimiser={optimiser}")["program"]
    for when in ("before", "after"):
        made = {out["name"] for step in launched(program[when]["steps"]) for out in step["outputs"]}
        assert {f"0.weight.{what}′" for what in memory} | {"0.weight′"} <= made


def test_inspect_on_another_backend(report):
    for name in BACKENDS:
        assert report(CONFIGS / "moons.yaml", "--backend", name)["backend"] == name


def test_inspect_takes_settings_and_any_data(here, report):
    small, large = (report("tiny.yaml", "--set", f"model.0.linear={size}") for size in (4, 40))
    assert [found["total"]["parameters"] for found in (small, large)] == [4 * 4 + 5 * 3, 4 * 40 + 41 * 3]
    assert report("tiny.yaml", "--set", "dtype=float64")["layers"][0]["parameter_bytes"] == 8 * 4 * 32
    assert not (here / "runs").exists(), "nothing was trained"


# The commands of the seed


@pytest.fixture
def mnist(here):
    """A folder with the IDX files of a few images that are noise."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 28, 28), np.uint8), np.arange(40, dtype=np.uint8) % 10
    for name, values in (("images-idx3", images), ("labels-idx1", labels)):
        head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
        (here / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return here


SEED_COMMANDS = {"train_mlp": "moons", "train_digits": "digits_normal", "train_mnist": "mnist"}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("command", "config"), SEED_COMMANDS.items())
def test_a_command_of_the_seed_passes_its_flags_on(mnist, cli, command, config, name):
    path = ["--path", mnist] if command == "train_mnist" else []
    ended = cli(command, "--epochs", 1, "--length", 20, "--backend", name, *path)
    assert (ended.code, ended.out) == (0, "")
    assert "16 samples to train on and 4 to validate" in ended.err
    summary = json.loads((mnist / "runs" / config / "summary.json").read_text())
    assert (summary["name"], summary["epochs"], summary["backend"]) == (config, 1, name)
    trained = load_config(mnist / "runs" / config / "config.yaml", registries())
    shipped = load_config(CONFIGS / f"{config}.yaml", registries())
    assert trained.data.samples == 20
    assert (trained.model, trained.optimiser, trained.loss) == (shipped.model, shipped.optimiser, shipped.loss)


def test_without_flags_a_command_of_the_seed_runs_its_config(here, cli):
    assert cli("train_mlp").code == 0
    trained = load_config(here / "runs" / "moons" / "config.yaml", registries())
    shipped = load_config(CONFIGS / "moons.yaml", registries())
    assert trained.training == shipped.training
    assert trained.data == shipped.data


def check_benchmark(ended):
    assert ended.code == 0
    heading, *rows = ended.out.splitlines()
    assert heading.split() == ["network", "total", "median", "step"]
    for name, row in zip(("digits_normal", "digits_longer", "digits_bigger"), rows, strict=True):
        assert re.fullmatch(rf"{name} +\d+\.\d\d s +\d+\.\d{{3}} ms", row)
        summary = json.loads(Path("runs", name, "summary.json").read_text())
        assert summary["epochs"] == 1


@pytest.mark.slow
def test_the_benchmark_of_the_seed(here, cli):
    check_benchmark(cli("run_digits_benchmark", "--epochs", 1, "--length", 10))


@pytest.mark.parametrize("name", BACKENDS)
def test_the_benchmark_of_the_seed_prints_a_row_a_network(here, cli, monkeypatch, name):
    names = itertools.cycle(["digits_normal", "digits_longer", "digits_bigger"])
    text = (here / "tiny.yaml").read_text()

    def shipped(asked):
        assert asked == next(names)
        (here / f"{asked}.yaml").write_text(text.replace("tiny", asked))
        return here / f"{asked}.yaml"

    monkeypatch.setattr(seed_commands, "shipped", shipped)
    check_benchmark(cli("run_digits_benchmark", "--epochs", 1, "--length", 10, "--backend", name))
