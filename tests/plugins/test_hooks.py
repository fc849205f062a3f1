"""Every hook is documented, shown by an example that is as its file is, and tried; after datasette's own tests."""

import re
from pathlib import Path

import numpy as np
import pytest

from places import BACKENDS
from pycrograd_core import Tensor, get_backend
from pycrograd_core.benchmark import Problem, contestants, objection, reference_losses
from pycrograd_core.config import load_config
from pycrograd_core.conformance import Subject, checks
from pycrograd_core.conformance.runner import run
from pycrograd_core.matrix import CONTRACT
from pycrograd_core.plugins import BackendSpec, Probe, candidates, plugin_ops, specs
from pycrograd_core.training import Callback, TrainingRun, registries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
HOOKS = [name for name in vars(specs) if name.startswith("pycrograd_")]
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL))
SHOWN = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = ("lion", "residual", "sklearn_contestant", "spirals", "swish", "tensorboard")


def test_every_hook_is_documented():
    assert list(SECTIONS) == HOOKS
    assert re.findall(r"^\| \[`(\w+)`\]\(#\1\) ", PAGE, re.MULTILINE) == HOOKS
    for hook, section in SECTIONS.items():
        if hook != "pycrograd_register_backends":
            assert f"def {hook}(" in section


def test_every_hook_has_a_test():
    assert [name for name in globals() if name.startswith("test_pycrograd_")] == [f"test_{hook}" for hook in HOOKS]


@pytest.mark.parametrize(("path", "text"), SHOWN, ids=[path for path, _ in SHOWN])
def test_the_page_shows_files_as_they_are(path, text):
    assert (ROOT / path).read_text("utf-8") == text


def test_the_page_shows_every_example():
    files = {path for name in EXAMPLES for kind in ("*.py", "*.yaml") for path in (ROOT / "examples" / name).glob(kind)}
    assert {str(path.relative_to(ROOT)) for path in files} == {path for path, _ in SHOWN if "pyproject" not in path}


@pytest.fixture(params=BACKENDS)
def trained(request, tmp_path, monkeypatch):
    """Trains a configuration, as text or a file, on each backend. Returns the trainer."""
    monkeypatch.chdir(tmp_path)

    def train(config, *settings):
        if not isinstance(config, Path):
            Path("run.yaml").write_text(config)
            config = Path("run.yaml")
        training = TrainingRun(load_config(config, registries(), [f"backend={request.param}", *settings]))
        training.execute()
        return training.trainer

    return train


SHORT = ("data.samples=64", "training.epochs=1")
CONFIG = """
kind: train
name: short
data: {dataset: moons}
model: {name: mlp, sizes: [8]}
loss: cross_entropy
optimiser: sgd
training: {epochs: 2, batch_size: 16}
"""
TABLE = "x,y,z\n" + "".join(f"{i / 40},{(i % 7) / 7},{i * i / 1600}\n" for i in range(40))


def test_pycrograd_register_backends(plugged):
    matrix = type("Copy", (get_backend(BACKENDS[0]),), {"__slots__": ()})
    spec = BackendSpec("copy", CONTRACT, "For this test.", lambda device: matrix, lambda: Probe("1.0", ("CPU",)))
    plugged(copy={"pycrograd_register_backends": lambda: [spec]})
    assert candidates()["copy"].plugin.distribution == "copy-dist"
    assert get_backend("copy") is type(Tensor([[1.0, 2.0]], backend="copy").value) is matrix


def test_pycrograd_register_ops(plugged, example, backend):
    plugin = example("swish")
    plugged(swish=plugin)
    assert (plugin_ops().ops, plugin_ops().troubles) == ((plugin.swish,), ())
    subject = Subject(backend)
    results = [*run(subject, [check for check in checks(subject) if check.op == "swish"])]
    assert [result.check for result in results] == [f"gradients/swish {dtype}" for dtype in subject.dtypes]
    assert {(result.outcome, result.cases > 2) for result in results} == {("passed", True)}


def test_pycrograd_register_datasets(plugged, example, trained):
    plugged(spirals=example("spirals"))
    trainer = trained(ROOT / "examples" / "spirals" / "spirals.yaml", "data.arms=2", *SHORT)
    assert (trainer.train.features.cols, trainer.model.outputs(2)) == (2, 2)


def test_pycrograd_register_layers(plugged, example, trained):
    plugin = example("residual")
    plugged(residual=plugin)
    trainer = trained(ROOT / "examples" / "residual" / "residual.yaml", "model.1.layers.0.residual=16", *SHORT)
    blocks = [part for part in trainer.model if isinstance(part, plugin.Residual)]
    assert [repr(block) for block in blocks] == ["Residual(Linear(32 → 16), Linear(16 → 32))"] * 3


def test_pycrograd_register_models(plugged, written, trained):
    plugged(tower=written(code("pycrograd_register_models")))
    model = trained(CONFIG, "model={name: tower, width: 5, depth: 3}").model
    assert [parameter.shape for parameter in model.parameters()[::2]] == [(2, 5), (5, 5), (5, 5), (5, 2)]


def test_pycrograd_register_losses(plugged, written, trained, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    plugged(huber=written(code("pycrograd_register_losses")))
    data = "data={dataset: csv, path: table.csv, task: regression, validation: 0.5}"
    trainer = trained(CONFIG, data, "loss={name: huber, delta: 0.2}")
    features, targets = trainer.validation.features.numpy(), trainer.validation.targets.numpy()
    errors = np.abs(trainer.model(Tensor(features, backend=trainer.train.features.backend)).numpy() - targets)
    expected = np.where(errors < 0.2, errors**2 / 2, 0.2 * (errors - 0.1)).mean()
    assert trainer.history[-1]["validation"]["loss"] == pytest.approx(expected, rel=1e-5)
    assert errors.min() < 0.2 < errors.max()


def test_pycrograd_register_optimisers(plugged, example, trained):
    plugin = example("lion")
    plugged(lion=plugin)
    trainer = trained(ROOT / "examples" / "lion" / "lion.yaml", "optimiser.beta1=0.8", *SHORT)
    assert isinstance(trainer.optimiser, plugin.Lion)
    assert (trainer.optimiser.beta1, len(trainer.optimiser.state)) == (0.8, 6)


def test_pycrograd_register_schedules(plugged, written, trained):
    plugged(root=written(code("pycrograd_register_schedules")))
    trainer = trained(CONFIG, "schedule={name: inverse_root, warmup: 4}", "optimiser.learning_rate=0.1")
    rates = [
        0.1 * factor for factor in (1 / 4, 2 / 4, 3 / 4, 1, (4 / 5) ** 0.5, *[(4 / n) ** 0.5 for n in (6, 7, 8, 9, 10)])
    ]
    assert [0.1 * trainer.factor(step) for step in range(10)] == pytest.approx(rates)
    assert [record["learning_rate"] for record in trainer.history] == pytest.approx([rates[4], rates[9]])


def test_pycrograd_register_callbacks(plugged, trained, tmp_path):
    class Counts(Callback):
        def __init__(self, folder: Path, every: int = 1):
            self.folder, self.every, self.counted = folder, every, []

        def epoch_ended(self, trainer, record):
            if record["epoch"] % self.every == 0:
                self.counted.append(record["epoch"])

        def ended(self, trainer):
            (self.folder / "counted").write_text(str(self.counted))

    plugged(counts={"pycrograd_register_callbacks": lambda: {"counts": Counts}})
    trained(CONFIG, "callbacks=[counts: {every: 2}]", "training.epochs=5")
    assert (tmp_path / "runs" / "short" / "counted").read_text() == "[2, 4]"


def test_pycrograd_register_contestants(plugged, example):
    plugged(sklearn=example("sklearn_contestant"))
    found = contestants({"own": lambda problem: None})
    assert (list(found), found.notes) == (["own", "sklearn"], [])
    sizes = (9, 7, 5, 3)
    assert objection(found["sklearn"](Problem.drawn(sizes, 8)), reference_losses(Problem.drawn(sizes, 8))) is None


def code(hook):
    """What the page shows of a hook that has no file."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", SECTIONS[hook], re.MULTILINE | re.DOTALL)
    return block
