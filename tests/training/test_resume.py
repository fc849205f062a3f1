"""A run that was interrupted, wherever it was, ends with the bits of one that was not."""

from itertools import pairwise
from pathlib import Path

import pytest

from places import BACKENDS, PLACES
from pycrograd_core.config import load_config
from pycrograd_core.errors import ConfigError
from pycrograd_core.training import Callback, Interrupted, registries, trainer

STEPS = 9  # 3 epochs of 3

CASES = {
    "sgd": [],
    "momentum, clipped": ["optimiser.momentum=0.9", "training.clip_norm=0.05"],
    "adam, scheduled": ["optimiser={name: adam, learning_rate: 0.02}", "schedule={name: cosine, warmup: 0.3}"],
    "adamw, dropout": ["optimiser={name: adamw}", "model=[linear: 8, relu, dropout: 0.3, dropout: 0.1, linear: 3]"],
    "nothing to validate": [
        "data={dataset: csv, path: flowers.csv, samples: 40, validation: 0}",
        "schedule={name: step, every: 0.2}",
    ],
    "no checkpoint of itself": ["training.checkpoint_every=0", "model=[layer_norm, linear: 5, tanh, linear: 3]"],
}


class Stop(Callback):
    """Asks the run to stop after a step, or where `epoch` is given, when that epoch is done."""

    def __init__(self, step=None, epoch=None):
        self.step, self.epoch = step, epoch

    def started(self, trainer):
        trainer.stop_requested |= self.step == 0

    def stepped(self, trainer, metrics):
        trainer.stop_requested |= trainer.position.total_steps == self.step

    def epoch_ended(self, trainer, record):
        trainer.stop_requested |= record["epoch"] == self.epoch


@pytest.fixture
def every_step(monkeypatch):
    """Callbacks are told of every step."""
    monkeypatch.setattr(trainer, "READ_EVERY", -1)


@pytest.fixture
def interrupt(start):
    """Runs until `stop` says so. Returns the trainer."""

    def run(*settings, stop, out, resume=False):
        started = start(*settings, out=out, resume=resume, callbacks=[stop])
        with pytest.raises(Interrupted):
            started.execute()
        return started.trainer

    return run


@pytest.mark.many_programs
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
@pytest.mark.parametrize("name", BACKENDS)
def test_a_run_interrupted_anywhere_ends_the_same(here, start, interrupt, numbers, every_step, name, settings):
    settings = [f"backend={name}", *settings]
    start(*settings, out=here / "whole").execute()
    whole = numbers(here / "whole")
    assert len(whole["metrics"]) == 3
    assert whole["position"]["total_steps"] == STEPS

    # the last step of an epoch leaves its validation undone; the end of an epoch does not
    for stop in [*map(Stop, (0, 1, 3, 5, 8)), Stop(epoch=2)]:
        out = here / f"stopped {vars(stop)}"
        stopped = interrupt(*settings, stop=stop, out=out)
        assert stopped.position.total_steps == (stop.step if stop.epoch is None else 3 * stop.epoch)
        assert numbers(out)["metrics"] == whole["metrics"][: stopped.position.epoch]
        start(*settings, out=out, resume=True).execute()
        assert numbers(out) == whole, out


@pytest.mark.parametrize(("name", "dtype"), PLACES)
def test_a_run_interrupted_after_every_step_ends_the_same(here, start, interrupt, numbers, every_step, name, dtype):
    settings = [f"backend={name}", f"dtype={dtype}", *CASES["adamw, dropout"]]
    start(*settings, out=here / "whole").execute()
    for step in range(STEPS):
        interrupt(*settings, stop=Stop(step), out=here / "halting", resume=step > 0)
    start(*settings, out=here / "halting", resume=True).execute()
    assert numbers(here / "halting") == numbers(here / "whole")


def test_a_stop_need_not_wait_for_the_validation(start, interrupt, every_step):
    stopped = interrupt(stop=Stop(6), out=Path("run"))
    assert (stopped.position.epoch, stopped.position.step) == (1, 3)
    assert stopped.model.training
    resumed = start(out=Path("run"), resume=True)
    resumed.execute()
    assert len(resumed.trainer.step_seconds) == 3, "no step was done twice"


def test_each_epoch_has_an_order_of_its_own(start, interrupt, every_step, monkeypatch):
    orders = []
    shuffled = trainer.epoch_order
    monkeypatch.setattr(trainer, "epoch_order", lambda *each: orders.append(each) or shuffled(*each))
    interrupt("seed=7", stop=Stop(4), out=Path("run"))
    start("seed=7", out=Path("run"), resume=True).execute()
    assert orders == [(40, 7, 0), (40, 7, 1), (40, 7, 1), (40, 7, 2)]


def test_how_often_metrics_are_read_changes_nothing(here, start, numbers, monkeypatch):
    for often in (-1, 1000):
        monkeypatch.setattr(trainer, "READ_EVERY", often)
        start(out=here / str(often)).execute()
    assert numbers(here / "-1") == numbers(here / "1000")


def test_the_trainer_that_was_interrupted_can_go_on_itself(here, start, numbers, every_step):
    start(out=here / "whole").execute()
    run = start(out=here / "same", callbacks=[Stop(4)])
    with pytest.raises(Interrupted):
        run.trainer.fit()
    run.trainer.stop_requested = False
    run.execute()
    assert numbers(here / "same") == numbers(here / "whole")


def test_time_is_counted_over_all_parts_of_a_run(start, interrupt, every_step, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(trainer.time, "perf_counter", lambda: float(next(clock)))
    stopped = interrupt(stop=Stop(4), out=Path("run"))
    spent, in_epoch = stopped.position.elapsed, stopped.position.seconds
    assert spent > in_epoch > 0
    run = start(out=Path("run"), resume=True)
    summary = run.execute()
    assert summary["seconds"]["total"] > spent + 6
    totals = [record["seconds"] for record in run.trainer.history]
    assert summary["seconds"]["total"] > sum(totals)
    assert totals[1] > in_epoch


def test_the_newest_run_of_the_name_is_resumed(here, start, interrupt, every_step):
    for step in (2, 3):
        interrupt(stop=Stop(step), out=None)
    (here / "runs" / "tiny-9").mkdir()  # a folder in which no run was started
    run = start(resume=True)
    assert str(run.folder.path) == "runs/tiny-2"
    assert run.trainer.position.total_steps == 3


def test_a_run_can_be_resumed_for_longer(here, start, numbers):
    start("training.epochs=5", out=here / "whole").execute()
    for epochs in (2, 5):
        start(f"training.epochs={epochs}", out=here / "longer", resume=epochs > 2).execute()
    longer, whole = numbers(here / "longer"), numbers(here / "whole")
    assert longer == whole


def test_a_run_can_be_resumed_with_other_checkpoints(here, start, interrupt, numbers, every_step):
    start(out=here / "whole").execute()
    interrupt("training.checkpoint_every=0", stop=Stop(4), out=here / "run")
    start("training.checkpoint_every=2", "name=another", "cache=off", out=here / "run", resume=True).execute()
    found, whole = numbers(here / "run"), numbers(here / "whole")
    assert found["summary"].pop("name") == "another"
    assert whole["summary"].pop("name") == "tiny"
    assert found == whole


def test_a_run_cannot_be_resumed_for_less(start, interrupt, every_step):
    interrupt(stop=Stop(5), out=Path("run"))
    with pytest.raises(ConfigError, match=r"--set training.epochs=1: .*has done 1 epochs and 2 steps"):
        start("training.epochs=1", out=Path("run"), resume=True)
    assert start("training.epochs=2", out=Path("run"), resume=True).execute()["steps"] == 6


def test_a_complete_run_stays_as_it_is(start, here):
    first = start(out=Path("run")).execute()
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    assert start(out=Path("run"), resume=True).execute() == first
    assert before == {path: path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}


def test_a_complete_run_without_its_summary_gets_it(start, here, numbers):
    start(out=Path("run")).execute()
    before = numbers(here / "run")
    for name in ("summary.json", "model.safetensors"):
        (here / "run" / name).unlink()
    summary = start(out=Path("run"), resume=True).execute()
    assert numbers(here / "run") == before
    assert summary["seconds"]["step_median"] is None, "no step was timed"


OTHERS = [
    ("seed=1", "seed 0, not 1"),
    ("optimiser.learning_rate=0.2", "optimiser.learning_rate 0.1, not 0.2"),
    ("optimiser=adam", 'optimiser.name "sgd", not "adam"'),
    ("model.0.linear=9", "model.0.linear.out_features 32, not 9"),
    ("model=[linear: 3]", "another model"),
    ("training.batch_size=8", "training.batch_size 16, not 8"),
    ("training.clip_norm=1", "training.clip_norm null, not 1.0"),
    ("dtype=float64", 'dtype "float32", not "float64"'),
    ("data.samples=20", "data.samples null, not 20"),
]


@pytest.mark.parametrize(("setting", "change"), OTHERS)
def test_a_run_is_resumed_with_its_own_configuration(start, interrupt, every_step, setting, change):
    interrupt(stop=Stop(4), out=Path("run"))
    with pytest.raises(ConfigError) as caught:
        start(setting, out=Path("run"), resume=True)
    assert str(caught.value) == f"run: the run here was started with {change}; resume it with run/config.yaml"
    start(out=Path("run"), resume=True).execute()


@pytest.mark.parametrize(("one", "other"), [*pairwise(BACKENDS)])
def test_a_run_is_resumed_on_its_own_backend(start, interrupt, every_step, monkeypatch, one, other):
    monkeypatch.setenv("PYCROGRAD_BACKEND", one)
    interrupt(stop=Stop(4), out=Path("run"))
    monkeypatch.setenv("PYCROGRAD_BACKEND", other)
    with pytest.raises(ConfigError, match=f'backend "{one}", not "{other}"'):
        start(out=Path("run"), resume=True)
    assert load_config("run/config.yaml", registries()).backend == one


def test_the_configuration_in_the_folder_is_enough(here, start, interrupt, numbers, every_step):
    start("seed=3", "optimiser.momentum=0.5", out=here / "whole").execute()
    interrupt("seed=3", "optimiser.momentum=0.5", stop=Stop(4), out=here / "run")
    (here / "tiny.yaml").write_bytes((here / "run" / "config.yaml").read_bytes())
    start(out=here / "run", resume=True).execute()
    assert numbers(here / "run") == numbers(here / "whole")
