"""For every configuration, backend and optimiser, 100 captured steps are 100 eager ones.

In float64 a run of them ends within 1e-12 of the eager one, on a backend that computes exactly as it does eagerly with
the same bits; in float32 each step is compared from the same state, to 1e-5.
"""

from pathlib import Path

import numpy as np
import pytest

from places import BACKENDS, EXACT
from pycrograd_core import get_backend
from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries
from pycrograd_core.training.steps import Steps

CONFIGS = Path(__file__).parents[2] / "configs"
STEPS = 100
BATCH = 5

OPTIMISERS = {
    "sgd": "{name: sgd, learning_rate: 0.01}",
    "weight decay": "{name: sgd, learning_rate: 0.01, weight_decay: 0.01}",
    "momentum": "{name: sgd, learning_rate: 0.01, momentum: 0.9, weight_decay: 0.01}",
    "nesterov, decoupled": (
        "{name: sgd, learning_rate: 0.01, momentum: 0.9, nesterov: true, weight_decay: 0.01, decoupled: true}"
    ),
    "adam": "{name: adam, learning_rate: 0.001, weight_decay: 0.01}",
    "adamw": "{name: adamw, learning_rate: 0.001}",
}
# 42 million weights, or thirty layers, in every optimiser: as deep as they are, but narrower
NARROW = {
    "digits_bigger": "model=[linear: 96, relu, linear: 64, relu, linear: 32, relu, linear: 10]",
    "digits_longer": "model=[{repeat: 29, layers: [linear: 12, relu]}, linear: 10]",
}
EVERY = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
FAST = {("digits_normal", "momentum"), ("moons", "sgd"), ("moons", "adamw"), ("digits_longer", "sgd")}


def cases():
    return list(_cases())


def _cases():
    for config in EVERY:
        for optimiser in OPTIMISERS:
            slow = (config, optimiser) not in FAST
            yield pytest.param(config, optimiser, marks=[pytest.mark.slow] if slow else [], id=f"{config}-{optimiser}")


@pytest.fixture
def trainers(mnist, tmp_path):
    """Two trainers of a configuration that begin alike: for eager and for captured steps."""

    def build(config, name, optimiser, dtype, *settings):
        settings = [f"backend={name}", f"dtype={dtype}", f"optimiser={optimiser}", "data.samples=60", *settings]
        settings += [NARROW[config]] if config in NARROW else []
        settings += [f"data.path={mnist}"] if config == "mnist" else []
        configuration = load_config(CONFIGS / f"{config}.yaml", registries(), settings)
        return [TrainingRun(configuration, out=tmp_path / str(number)).trainer for number in range(2)]

    return build


def batches(trainer):
    return np.random.default_rng(5).integers(0, len(trainer.train), (STEPS, BATCH))


def state(trainer):
    return trainer.model.state_dict() | trainer.optimiser.state_dict()


def assert_close(found, expected, tolerance, where, before=None):
    """Each tensor to a tolerance relative to its greatest element (before the step too, which may nearly cancel it)."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert values.dtype == found[name].dtype
        scale = max(np.abs(each[name]).max() for each in (expected, before or {}) if name in each)
        atol = tolerance * max(scale, 1e-30)
        np.testing.assert_allclose(found[name], values, rtol=0, atol=atol, err_msg=f"{name}, {where}")


@pytest.mark.many_programs
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(("config", "optimiser"), cases())
def test_a_hundred_steps_in_float64(trainers, name, config, optimiser):
    eager, captured = trainers(config, name, OPTIMISERS[optimiser], "float64")
    rows, runs = batches(eager), (Steps(eager._step, captured=False), Steps(captured._step, captured=True))
    losses = []
    for trainer, run in zip((eager, captured), runs, strict=True):
        trainer.model.train()
        parts = [run.run(trainer.train, part) for part in np.split(rows, [1, 2, 40])]
        losses.append(np.concatenate([loss.numpy() for loss, _ in parts]))
    assert len(losses[0]) == STEPS
    if "exact_capture" in get_backend(name).capabilities:
        assert losses[0].tobytes() == losses[1].tobytes()
        for key, values in state(eager).items():
            assert values.tobytes() == state(captured)[key].tobytes(), key
    else:
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
        assert_close(state(captured), state(eager), 1e-12, "after all steps")


@pytest.mark.many_programs
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("config", "optimiser"), cases())
def test_each_of_a_hundred_steps_in_float32(trainers, name, config, optimiser):
    eager, captured = trainers(config, name, OPTIMISERS[optimiser], "float32")
    runs = Steps(eager._step, captured=False), Steps(captured._step, captured=True)
    for trainer in (eager, captured):
        trainer.model.train()
    for number, chosen in enumerate(batches(eager)):
        before = state(eager)
        losses = [
            run.run(trainer.train, chosen[None])[0].item() for trainer, run in zip((eager, captured), runs, strict=True)
        ]
        assert losses[1] == pytest.approx(losses[0], rel=1e-5), number
        assert_close(state(captured), state(eager), 1e-5, f"step {number}", before)
        same_state(captured, eager)


def same_state(trainer, other):
    """Give a trainer the state of another, in place."""
    trainer.model.load_state_dict(other.model.state_dict())
    for name, value in other.optimiser.state.items():
        trainer.optimiser.state[name].assign(value.host())


@pytest.mark.slow
@pytest.mark.parametrize("config", ["digits_bigger", "digits_longer"])
def test_the_largest_at_their_own_size(trainers, config, monkeypatch):
    """On the backend that is the default: ten steps."""
    monkeypatch.delitem(NARROW, config)
    name = BACKENDS[0]
    eager, captured = trainers(config, name, OPTIMISERS["sgd"], "float64")
    rows = batches(eager)[:10]
    losses = [
        Steps(trainer._step, captured=flag).run(trainer.train, rows)[0].numpy()
        for trainer, flag in ((eager, False), (captured, True))
    ]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-12)
    assert_close(state(captured), state(eager), 1e-12, "after all steps")
