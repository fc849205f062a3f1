"""Callbacks: told of everything in order, named by the configuration, and never in the way of the run's own files."""

import json
from pathlib import Path

import numpy as np
import pytest

from places import BACKENDS, PLACES
from pycrograd_core.errors import ConfigError, PluginError, TrainingError
from pycrograd_core.training import Callback, Interrupted, callbacks, trainer

RUN = Path("run")


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self, words=None):
        self.words = [] if words is None else words

    def started(self, trainer):
        self.words.append(("started", trainer.position.total_steps))

    def stepped(self, trainer, metrics):
        self.words.append(("stepped", trainer.position.total_steps, sorted(metrics)))

    def epoch_ended(self, trainer, record):
        self.words.append(("epoch_ended", record["steps"], trainer.history[-1] is record))

    def stopped(self, trainer):
        self.words.append(("stopped", trainer.position.total_steps))

    def ended(self, trainer):
        self.words.append(("ended", trainer.position.total_steps))


class Fails(Diary):
    """Raises in one of its events: `stepped` and `epoch_ended` in the second epoch, `stopped` where the run stops."""

    def __init__(self, event, error):
        super().__init__()
        self.event, self.error = event, error
        setattr(self, event, self.fail)

    def fail(self, trainer, *news):
        if self.event in ("started", "stopped", "ended") or trainer.position.total_steps > 3:
            raise self.error


class Stops(Callback):
    def stepped(self, trainer, metrics):
        trainer.stop_requested = trainer.position.total_steps == 5


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(trainer, "READ_EVERY", -1)


@pytest.fixture
def offer(monkeypatch):
    """Lets configurations name a callback, for the time of a test."""

    def register(name, factory):
        monkeypatch.setitem(callbacks._factories, name, factory)

    return register


@pytest.mark.parametrize("name", BACKENDS)
def test_the_events_of_a_run(start, every_step, name):
    diary = Diary()
    start(f"backend={name}", "training.epochs=2", out=RUN, callbacks=[diary]).execute()
    steps = [("stepped", step, ["accuracy", "loss"]) for step in range(1, 7)]
    epochs = [("epoch_ended", 3, True), ("epoch_ended", 6, True)]
    assert diary.words == [("started", 0), *steps[:3], epochs[0], *steps[3:], epochs[1], ("ended", 6)]


def test_the_events_of_a_run_that_is_interrupted_and_resumed(start, every_step):
    before, after = Diary(), Diary()
    with pytest.raises(Interrupted):
        start(out=RUN, callbacks=[Stops(), before]).execute()
    assert before.words[-3:] == [("stepped", 5, ["accuracy", "loss"]), ("stopped", 5), ("ended", 5)]
    start(out=RUN, resume=True, callbacks=[after]).execute()
    assert after.words[:2] == [("started", 5), ("stepped", 6, ["accuracy", "loss"])]


@pytest.mark.parametrize(("name", "dtype"), PLACES)
def test_what_a_callback_reads_is_what_the_run_writes(start, name, dtype):
    """At the end of an epoch the model is the one of the checkpoint, and evaluates to the record."""

    class Reads(Callback):
        def epoch_ended(self, trainer, record):
            assert trainer.evaluate(trainer.validation) == record["validation"]
            self.weights = trainer.model.state_dict()

    reads = Reads()
    run = start(f"backend={name}", f"dtype={dtype}", out=RUN, callbacks=[reads])
    run.execute()
    written = run.trainer.model.state_dict()
    assert reads.weights.keys() == written.keys()
    assert all(np.array_equal(reads.weights[key], written[key]) for key in written)


def test_a_run_that_fails_is_over_for_those_who_heard_of_its_start(start):
    diary = Diary()
    with pytest.raises(TrainingError):
        start("optimiser.learning_rate=1e20", out=RUN, callbacks=[diary]).execute()
    assert [word[0] for word in diary.words] == ["started", "ended"]


def test_whoever_fails_to_start_hears_no_more_and_takes_the_later_ones_along(start):
    first, fails, later = Diary(), Fails("started", OSError("no disk")), Diary()
    with pytest.raises(OSError, match="no disk"):
        start(out=RUN, callbacks=[first, fails, later]).execute()
    assert first.words == [("started", 0), ("ended", 0)]
    assert fails.words == later.words == []


def test_all_hear_of_the_end_whatever_one_of_them_does(start):
    first, fails, last = Diary(), Fails("ended", OSError("no disk")), Diary()
    with pytest.raises(OSError, match="no disk"):
        start(out=RUN, callbacks=[first, fails, last]).execute()
    assert first.words[-1] == last.words[-1] == ("ended", 9)
    assert not (RUN / "summary.json").exists()


def test_ctrl_c_within_a_callback_ends_the_run(start, offer):
    diary = Diary()
    offer("fails", lambda: Fails("epoch_ended", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        start("callbacks=[fails]", out=RUN, callbacks=[diary]).execute()
    assert diary.words[-1] == ("ended", 6)


# Named by a configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
def test_a_configuration_names_callbacks(start, offer, numbers, name):
    made = []

    def board(folder: Path, words: str = "none"):
        made.append((folder, words))
        return Diary()

    offer("board", board)
    offer("plain", Diary)
    start(f"backend={name}", out=Path("without")).execute()
    start(f"backend={name}", "callbacks=[board: some, plain, board]", out=RUN).execute()
    assert made == [(RUN, "some"), (RUN, "none")]
    assert numbers(RUN) == numbers(Path("without"))


def test_a_configuration_names_no_callback_that_there_is_not(start):
    with pytest.raises(ConfigError) as caught:
        start("callbacks=[boards]")
    assert str(caught.value).startswith("--set callbacks=[boards]: callbacks.0: there is no callback 'boards'; Known: ")


def test_options_that_a_callback_refuses_are_told_at_its_place(here, start, offer):
    def refuses(folder: Path, every: int = 1):
        raise ValueError(f"every {every} epochs is too often")

    offer("refuses", refuses)
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text() + "callbacks:\n  - refuses: 3\n")
    with pytest.raises(ConfigError, match=r"^tiny\.yaml:10:5: refuses: every 3 epochs is too often$"):
        start(out=RUN)
    assert not RUN.exists()


def test_a_factory_that_makes_no_callback_is_told_of(start, offer):
    offer("odd", lambda: "diary")
    with pytest.raises(PluginError, match=r"^the callback 'odd' of .*test_callbacks.* is a str, not a Callback$"):
        start("callbacks=[odd]", out=RUN)
    assert not RUN.exists()


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(
    ("event", "done"), [("started", 0), ("stepped", 3), ("epoch_ended", 6), ("stopped", 5), ("ended", 9)]
)
def test_what_a_callback_raises_ends_the_run_and_nothing_is_lost(start, offer, numbers, every_step, name, event, done):
    error = ZeroDivisionError("the plugin's own")
    offer("fails", lambda: Fails(event, error))
    settings = [f"backend={name}", "optimiser.momentum=0.9"]
    start(*settings, out=Path("whole")).execute()
    stops = [Stops()] if event == "stopped" else []
    with pytest.raises(PluginError) as caught:
        start(*settings, "callbacks=[fails]", out=RUN, callbacks=stops).execute()
    assert str(caught.value) == f"the callback 'fails' failed in {event}: ZeroDivisionError: the plugin's own"
    assert caught.value.__cause__ is error
    assert not (RUN / "summary.json").exists()

    resumed = start(*settings, out=RUN, resume=True)
    assert resumed.trainer.position.total_steps == done
    resumed.execute()
    assert numbers(RUN) == numbers(Path("whole"))


def test_a_run_is_resumed_by_its_own_configuration_with_its_callbacks(here, start, offer, numbers, every_step):
    diaries = []
    offer("diary", lambda folder: diaries.append(Diary()) or diaries[-1])
    start(out=here / "whole").execute()
    with pytest.raises(Interrupted):
        start("callbacks=[diary]", out=RUN, callbacks=[Stops()]).execute()
    (here / "tiny.yaml").write_bytes((RUN / "config.yaml").read_bytes())
    start(out=RUN, resume=True).execute()
    assert [diary.words[0] for diary in diaries] == [("started", 0), ("started", 5)]
    assert numbers(RUN) == numbers(here / "whole")


def test_the_display_tells_an_epoch_before_a_callback_of_the_configuration_can_fail(start, offer):
    diary = Diary()
    offer("fails", lambda: Fails("epoch_ended", OSError("no disk")))
    with pytest.raises(PluginError):
        start("callbacks=[fails]", out=RUN, callbacks=[diary]).execute()
    assert [word for word in diary.words if word[0] == "epoch_ended"][-1] == ("epoch_ended", 6, True)
    assert len([json.loads(line) for line in (RUN / "metrics.jsonl").read_text().splitlines()]) == 2
