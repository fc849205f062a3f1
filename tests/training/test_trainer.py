"""What goes wrong while a run trains: it is told, and what was done is kept."""

import json
from pathlib import Path

import pytest

from places import BACKENDS
from pycrograd_core import no_grad
from pycrograd_core.errors import ConfigError, TrainingError
from pycrograd_core.plugins import get_backend
from pycrograd_core.training import Callback
from pycrograd_core.training.checkpoint import available

RUN = Path("run")
ADVICE = "lower the learning rate, or set training.clip_norm"
ONE_STEP = "training={epochs: 4, batch_size: 50}"

# how a run goes astray, what is told of it, and how many epochs were done before
ASTRAY = [
    (["optimiser.learning_rate=1e20"], r"the loss is not finite at epoch 1, step \d of 3 \(nor are ", 0),
    (["optimiser.learning_rate=1e20", "data.validation=0", ONE_STEP], "the loss is not finite at epoch 2, step 1", 1),
    (["optimiser.learning_rate=1e25", ONE_STEP], r"the validation loss is not finite after epoch 1 \(the para", 0),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "message", "epochs"), ASTRAY)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_loss_that_is_not_finite_ends_the_run(start, name, settings, message, epochs):
    run = start(f"backend={name}", *settings, out=RUN)
    with pytest.raises(TrainingError, match=rf"^{message}.*: {ADVICE}$"):
        run.execute()
    metrics = (RUN / "metrics.jsonl").read_text()
    assert len(metrics.splitlines()) == len(available(RUN / "checkpoints")) == epochs
    assert "NaN" not in metrics
    assert not (RUN / "summary.json").exists()
    assert run.trainer.model.training


@pytest.mark.parametrize(("part", "name"), [("model", "model.2.bias"), ("optimiser", "optimiser.velocity.3")])
def test_a_checkpoint_holds_no_number_that_is_not_finite(start, part, name):
    class Spoil(Callback):
        def started(self, trainer):
            self.trainer = trainer
            trainer.loss, evaluate = trainer.loss, trainer.evaluate

            def spoiling(*arguments):
                metrics = evaluate(*arguments)
                tensor = trainer.model[2].bias if part == "model" else trainer.optimiser.state["velocity.3"]
                if trainer.position.epoch == 1:
                    with no_grad():
                        tensor.assign([[0.0, float("nan"), 0.0]])
                return metrics

            trainer.evaluate = spoiling

    with pytest.raises(TrainingError, match=f"^{name} is not finite after epoch 2, step 0; .* was kept: {ADVICE}$"):
        start("optimiser.momentum=0.9", out=RUN, callbacks=[Spoil()]).execute()
    assert [path.name for path in available(RUN / "checkpoints")] == ["step-00000003.safetensors"]


class Fails(Callback):
    """Raises in one of its methods, in the second epoch where there is a choice."""

    def __init__(self, method):
        self.method = method
        setattr(self, method, self.fail)

    def fail(self, trainer, record=None):
        if self.method == "started" or trainer.position.total_steps > 3:
            raise ZeroDivisionError(self.method)


@pytest.mark.parametrize(("method", "epochs"), [("started", 0), ("stepped", 1), ("epoch_ended", 2), ("stopped", 1)])
def test_what_was_done_before_an_error_is_kept(start, numbers, monkeypatch, method, epochs):
    from pycrograd_core.training import trainer

    start(out=Path("whole")).execute()
    monkeypatch.setattr(trainer, "READ_EVERY", -1)

    class Stops(Callback):
        def stepped(self, trainer, metrics):
            trainer.stop_requested = method == "stopped" and trainer.position.total_steps == 5

    with pytest.raises(ZeroDivisionError, match=method):
        start(out=RUN, callbacks=[Stops(), Fails(method)]).execute()
    records = [json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == list(range(1, epochs + 1))
    run = start(out=RUN, resume=True)
    assert run.trainer.position.epoch == epochs
    assert run.trainer.position.step == (2 if method == "stopped" else 0)
    run.execute()
    assert numbers(RUN) == numbers(Path("whole"))


# Parts of a configuration that do not fit each other: the setting, and what is told, at its place

MISFITS = [
    ("model.2.linear=4", "", "linear: the model ends in 4 outputs, but the loss cross_entropy on csv needs 3"),
    ("model=[relu]", "tiny.yaml:7:19", "sgd: the model has no parameters to train"),
    ("loss=max_margin", "", "the loss max_margin needs two classes; csv has 3 classes"),
    ("loss=mean_squared_error", "", "the loss mean_squared_error needs numbers as targets; csv has 3 classes"),
    ("data.task=regression", "tiny.yaml:6:7", "the loss cross_entropy needs classes; csv has 1 target columns"),
    ("data.samples=51", "", "cannot take 51 samples of data set 'flowers.csv': it has 50"),
    (
        "data.validation=0.999",
        "",
        "a validation fraction of 0.999 of the 50 rows",
    ),
    ("optimiser={name: sgd, nesterov: true}", "", "sgd: nesterov needs a momentum above 0"),
]


@pytest.mark.parametrize(("setting", "place", "message"), MISFITS)
def test_what_does_not_fit_is_told_at_its_place(start, setting, place, message):
    with pytest.raises(ConfigError) as caught:
        start(setting)
    assert str(caught.value).startswith(f"{place or f'--set {setting}'}: {message}")


@pytest.mark.parametrize("settings", [(), *([f"backend={name}"] for name in BACKENDS)], ids=["default", *BACKENDS])
def test_a_backend_that_cannot_compute_in_a_dtype(start, monkeypatch, settings):
    for name in BACKENDS:
        monkeypatch.setattr(get_backend(name), "capabilities", frozenset())
    assert start(*settings).matrix.backend in BACKENDS
    with pytest.raises(ConfigError, match=r"^--set dtype=float64: the backend '\w+' cannot compute in float64$"):
        start(*settings, "dtype=float64")
