"""Tuning a step: what is tried, what passes, and that a step and its loops use what is kept."""

from dataclasses import replace

import numpy as np
import pytest

from pycrograd_core import capture, use_backend
from pycrograd_core.capture.loop import looped
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.trace import trace
from pycrograd_core.cli import main
from pycrograd_opencl.compiled import row_products
from pycrograd_opencl.compiled.schedule import schedule
from pycrograd_opencl.compiled.settings import usual
from pycrograd_opencl.compiled.updates import Update
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.tuning import networks, programs, search, steps, store
from pycrograd_opencl.tuning.networks import Network
from pycrograd_opencl.tuning.rehearsal import SAMPLES, close, random_numbers
from pycrograd_opencl.tuning.steps import StepTrial
from tunable_steps import CONFIGS, SMALL, chosen, program, small
from twins import Setting


@pytest.fixture(scope="module")
def trial(pocl):
    """A small step, in tiles and launches as large ones are done."""
    return StepTrial(small(pocl), matrix_on(pocl))


def without_last_column(columns, most, tiles=row_products.tiles):
    """Products that leave a column out, where it is not a tile's only one."""
    return [(width, stop - width * (stop == columns > width)) for width, stop in tiles(columns, most)]


def without_last_rows(self, high, heights=Update._heights):
    """Updates of whole tiles alone."""
    return heights(self, high)[:1]


MUTANTS = [(row_products, "tiles", without_last_column), (Update, "_heights", without_last_rows)]


@pytest.mark.parametrize(("place", "name", "mutant"), MUTANTS)
def test_a_search_keeps_no_wrong_step(monkeypatch, pocl, trial, place, name, mutant):
    change = replace(trial.start, lanes=4, registers=3)
    monkeypatch.setattr(place, name, mutant)
    monkeypatch.setattr(StepTrial, "changes", lambda self, parameters: [change])
    monkeypatch.setattr(StepTrial, "seconds", lambda self, made, limit=2.0: 1.0 if limit > 1 else 1e-9)
    trial._rehearsal._schedules.pop(change, None)
    found = search.search(trial, trial.start, 60)
    trial._rehearsal._schedules.pop(change)
    assert (found.parameters, found.tried) == (trial.start, 2)


def test_a_right_step_is_right(trial):
    assert trial.finite
    assert trial.right(trial.build(replace(trial.start, lanes=4, registers=3)))


@pytest.mark.parametrize(("place", "name", "mutant"), MUTANTS)
def test_no_network_of_awkward_sizes_is_wrong_unnoticed(monkeypatch, pocl, place, name, mutant):
    """They are held against NumPy, so it is of no use to be wrong everywhere."""
    settings = replace(usual(pocl), lanes=4, registers=4, whole=True)
    network = Network(32, (9, 11, 5))
    assert networks.right(network, settings, matrix_on(pocl), "float32")
    monkeypatch.setattr(place, name, mutant)
    assert not networks.right(network, settings, matrix_on(pocl), "float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        ({}, "float32"),
        ({"lanes": 4, "registers": 3, "whole": False}, "float32"),
        ({"lanes": 4, "registers": 3, "whole": False}, "float64"),
        ({"large": 0.0, "busy": 0.0}, "float32"),
    ],
)
def test_all_networks_of_awkward_sizes_are_right(either, change, dtype):
    changed = change if either.is_cpu else {"whole": "lanes" in change, "group": 32}
    trial = StepTrial(small(either, dtype), matrix_on(either))
    assert trial.passes(replace(usual(either), **changed))


def test_the_networks_cover_what_is_awkward():
    chosen = [*networks.NETWORKS, networks.LARGE]
    sizes = {size for network in chosen for size in (network.rows, *network.widths)}
    assert sizes >= {1, 3, 7, 9, 15, 17, 31, 33, 63, 65, 127, 129, 255, 256, 257}
    assert {network.rows for network in chosen} >= {1, 31, 33, 257}


def test_small_networks_are_done_as_the_step_is(trial):
    made = trial._rehearsal.schedule(replace(trial.start, whole=False))
    assert networks.LARGE.settings(trial.start, made) == replace(
        trial.start, whole=False, tile=networks.CUT, large=0.0, busy=0.0
    )
    whole = networks.NETWORKS[1].settings(trial.start, trial._rehearsal.schedule(replace(trial.start, whole=True)))
    assert whole == replace(trial.start, whole=True)


def test_random_numbers_are_such_as_a_step_meets():
    step = program("digits")
    found = random_numbers(step)
    x, labels = (found[value] for value in step.arguments)
    assert x.shape == (SAMPLES, 64)
    assert (labels.min(), labels.max(), labels.dtype) == (0, 9, "int32")
    (rate,) = (found[value] for value in step.states if value.size == 1)
    assert 0 < rate.item() < 0.1
    first = next(iter(step.states))
    assert found[first].std() == pytest.approx((2 / 64) ** 0.5, rel=0.1)


NUMBERS = np.random.default_rng(0).standard_normal((40, 30)).astype(np.float32)
CHANGED = NUMBERS + np.float32(1e-3) * np.random.default_rng(1).standard_normal((40, 30)).astype(np.float32)


@pytest.mark.parametrize(
    ("place", "error", "same"),
    [
        ((slice(None), slice(None)), 1e-7, True),  # roundings
        ((3, 4), 1e-5, True),  # a relu that was at its kink
        ((3, slice(None)), 1e-5, False),
        ((3, 4), 1e-3, False),  # an element that was left out
        ((3, 4), np.nan, False),
    ],
)
def test_results_are_the_same_within_rounding(place, error, same):
    found = CHANGED.copy()
    found[place] += error
    assert close(found, CHANGED, NUMBERS) == same


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_draws_and_remembers(pocl, tmp_path, dtype):
    config = tmp_path / "config.yaml"
    config.write_text(EVERYTHING.format(dtype=dtype))
    trial = StepTrial(program(config), matrix_on(pocl))
    assert trial.finite
    assert trial.right(trial.build(replace(trial.start, lanes=4, registers=3)))


EVERYTHING = """
kind: train
name: everything
dtype: {dtype}
data: {{dataset: moons, samples: 100, validation: 0.2}}
model: [{{linear: 16}}, layer_norm, gelu, {{dropout: 0.3}}, {{linear: 2}}]
loss: cross_entropy
optimiser: {{name: adamw, learning_rate: 0.01}}
training: {{epochs: 1, batch_size: 32, clip_norm: 1.0}}
"""


def test_one_setting_changes_at_a_time_and_only_if_that_changes_the_kernels(pocl):
    trial = StepTrial(small(pocl), matrix_on(pocl))
    found = list(trial.changes(trial.start))
    differences = [
        {name: value for name, value in vars(each).items() if value != getattr(trial.start, name)} for each in found
    ]
    assert differences == [
        {"whole": False}, {"lanes": 16}, {"lanes": 4}, {"registers": 4}, {"registers": 6}, {"registers": 8},
        {"registers": 12},
    ]  # fmt: skip
    assert list(trial.changes(trial.start)) == []


def test_on_a_gpu_groups_fit_the_device(pocl):
    device = replace(pocl, kind="discrete GPU", unified=False, units=3, lanes=1, largest_group=128)
    trial = StepTrial(small(device), matrix_on(device))
    assert trial.start.whole
    found = list(trial.changes(trial.start))
    assert replace(trial.start, whole=False) in found
    assert {each.group for each in found} == {64, 128}
    assert all(max(each.group, each.items) <= 128 and each.lanes == 1 for each in found)
    assert {product.shape for product in trial.handed(replace(trial.start, whole=False))} >= {"33×7×9 a b float32"}
    assert not trial.handed(trial.start)


def test_a_step_that_takes_more_than_rows_is_not_run_on_random_ones(pocl):
    step = small(pocl)
    assert steps.rehearsed(step)
    x, labels = step.arguments
    assert not steps.rehearsed(replace(step, arguments=(x, replace(labels, shape=(1, 1)))))
    assert not steps.rehearsed(replace(step, updates={x: x}))


@pytest.fixture
def schedules(monkeypatch):
    """The schedules that programs are compiled with."""
    found = []

    def spied(*given):
        found.append(schedule(*given))
        return found[-1]

    monkeypatch.setattr("pycrograd_opencl.compiled.schedule.schedule", spied)
    return found


def test_the_settings_of_a_step_are_those_of_its_loop(folder, pocl, schedules):
    with use_backend(matrix_on(pocl)) as matrix:
        ours = Setting(matrix, "float32", "sgd")
        step = capture(ours.step)
        traced = trace(ours.step, [ours.x, ours.labels], known=ours.model.parameters()).program
        assert store.keep_step(pocl, optimise(traced), chosen(pocl))
        step(ours.x, ours.labels)
        step.scan(ours.x, ours.labels, rows=np.arange(24).reshape(2, 12) % 12)
    assert [made.settings for made in schedules] == [chosen(pocl)] * 2


@pytest.mark.parametrize("config", ["digits", "digits_normal", "digits_longer", "moons"])
def test_a_step_and_its_loop_have_one_key(config):
    step = program(config)
    data = [(1797, value.shape[1]) for value in step.arguments]
    loop = optimise(looped(step, step.arguments[0].shape[0], data))
    assert programs.key(loop) == programs.key(optimise(step))
    assert programs.description(loop) == programs.description(optimise(step))


def test_another_network_has_another_key(pocl):
    keys = {
        programs.key(optimise(small(pocl, dtype, network)))
        for network in (SMALL, replace(SMALL, rows=32), replace(SMALL, widths=(7, 9, 9, 5)))
        for dtype in ("float32", "float64")
    }
    assert len(keys) == 6


@pytest.mark.slow
@pytest.mark.parametrize("config", ["digits", "moons"])
def test_a_run_uses_what_was_found(folder, monkeypatch, pocl, schedules, tmp_path, config):
    """One with a scheduled rate, which the step is given, and one without."""
    settings = chosen(pocl)
    store.keep_step(pocl, optimise(program(config)), settings)
    words = ["run", str(CONFIGS / f"{config}.yaml"), "--backend", "opencl", "--device", pocl.label, "--epochs", "1"]
    monkeypatch.setattr("sys.argv", ["pycrograd", *words, "--samples", "80", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert settings in [made.settings for made in schedules]
