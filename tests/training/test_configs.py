"""Every configuration in configs/ runs, on every backend, and leaves what its folder is to hold."""

import json
import math
import shutil
from pathlib import Path

import pytest

from places import BACKENDS
from pycrograd_core import use_backend
from pycrograd_core.config import load_config
from pycrograd_core.nn import Sequential
from pycrograd_core.training import TrainingRun, registries
from pycrograd_core.training.build import build_model, fitting_outputs

CONFIGS = Path(__file__).parents[2] / "configs"
# what makes a configuration small enough for a backend that is slow
SMALL = {
    "digits": ["data.samples=300", "training.epochs=2"],
    "digits_bigger": ["data.samples=2", "training.epochs=1"],
    "digits_longer": ["data.samples=2", "training.epochs=1"],
    "digits_normal": ["data.samples=100", "training.epochs=2"],
    "mnist": ["data.samples=60", "training.epochs=2"],
    "moons": [],
}
SLOW = {"digits_bigger"}  # 42 million weights

ENVIRONMENT = {"pycrograd", "python", "platform", "processor", "cpus", "numpy", "threads", "backend"}
SUMMARY = {
    "name", "kind", "backend", "device", "captured", "seed", "epochs", "steps", "parameters", "train", "validation",
    "seconds", "environment",
}  # fmt: skip


def named(path):
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])


every_config = pytest.mark.parametrize("path", [named(path) for path in sorted(CONFIGS.glob("*.yaml"))])


@pytest.fixture
def config(path, mnist, request):
    """Loads a configuration with settings, and with the data that this machine may have to do without."""
    local = [f"data.path={mnist}"] if path.stem == "mnist" else []
    return lambda *settings: load_config(path, registries(), [*local, *settings])


@pytest.fixture
def out(tmp_path):
    """The run's folder, which may be large."""
    yield tmp_path / "run"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_every_config_has_a_small_form():
    assert sorted(SMALL) == sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("name", BACKENDS)
@every_config
def test_a_config_runs_on_every_backend(config, path, name, out):
    run = TrainingRun(config(*SMALL[path.stem], f"backend={name}"), out=out)
    check_folder(run, run.execute())


@every_config
def test_a_config_runs_as_it_is(config, out):
    run = TrainingRun(config(), out=out)
    check_folder(run, run.execute())


def test_the_first_run_learns(tmp_path):
    summary = TrainingRun(load_config(CONFIGS / "digits.yaml", registries()), out=tmp_path / "run").execute()
    assert summary["validation"]["accuracy"] > 0.95
    assert summary["epochs"] == 15
    assert summary["parameters"] == 6570


def check_folder(run, summary):
    """The folder of a complete run holds all that it is to hold, in agreement with itself."""
    folder, config = run.folder.path, run.config
    names = ["checkpoints", "config.yaml", "metrics.jsonl", "model.safetensors", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert load_config(folder / "config.yaml", registries()) == config

    assert json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail) == summary
    check_summary(summary, config, run)

    records = [
        json.loads(line, parse_constant=pytest.fail) for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert [record["epoch"] for record in records] == list(range(1, config.training.epochs + 1))
    assert records[-1]["steps"] == summary["steps"]
    assert (records[-1]["train"], records[-1].get("validation")) == (summary["train"], summary["validation"])

    last = f"step-{summary['steps']:08d}.safetensors"
    kept = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert kept[-1] == last
    assert len(kept) == min(2, config.training.epochs if config.training.checkpoint_every else 1)

    check_model(run, summary)


def check_summary(summary, config, run):
    assert set(summary) == SUMMARY
    assert set(summary["seconds"]) == {"total", "compile", "step_median"}
    assert set(summary["environment"]) == ENVIRONMENT
    assert set(summary["environment"]["backend"]) == {"distribution", "version", "runtime", "devices"}
    told = [summary[key] for key in ("name", "kind", "backend", "device", "captured", "seed", "epochs")]
    matrix = run.matrix
    expected = [config.name, "train", matrix.backend, matrix.device, True, config.seed, config.training.epochs]
    assert told == expected
    assert summary["steps"] == config.training.epochs * math.ceil(len(run.trainer.train) / config.training.batch_size)
    for metrics in filter(None, (summary["train"], summary["validation"])):
        assert set(metrics) == {"loss", "accuracy"}
        assert 0 <= metrics["accuracy"] <= 1
        assert metrics["loss"] > 0
    assert 0 < summary["seconds"]["step_median"] < summary["seconds"]["total"]


def check_model(run, summary):
    """The parameters in the file, in a model that was just built, give what the run said of them."""
    from safetensors.numpy import load_file

    trainer, config = run.trainer, run.config
    state = load_file(run.folder.path / "model.safetensors")
    assert sum(values.size for values in state.values()) == summary["parameters"]
    inputs = trainer.train.features.cols
    outputs = fitting_outputs(config, trainer.loss, {"max_margin": 2}.get(config.loss.name, 10), classification=True)
    with use_backend(run.matrix):
        model = build_model(config, registries(), inputs, outputs)
        assert isinstance(model, Sequential)
        model.load_state_dict(state)
        trainer.model = model
        if trainer.validation is not None:
            assert trainer.evaluate(trainer.validation) == pytest.approx(summary["validation"], rel=1e-6)
