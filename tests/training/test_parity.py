"""The same seed gives the same start and, epoch by epoch, the same losses on every backend."""

from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from places import BACKENDS
from pycrograd_core.config import load_config
from pycrograd_core.training import TrainingRun, registries

CONFIGS = Path(__file__).parents[2] / "configs"
PAIRS = [*combinations(BACKENDS, 2)]
SHORT = ("training.epochs=2", "data.samples=300")


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """A run's initial parameters and its losses; each run is made once for all pairs."""

    @cache
    def run(name, *settings):
        config = load_config(CONFIGS / "digits.yaml", registries(), [f"backend={name}", *settings])
        training = TrainingRun(config, out=tmp_path_factory.mktemp("runs") / "run")
        start = {key: values.tobytes() for key, values in training.trainer.model.state_dict().items()}
        training.execute()
        return start, [record[part]["loss"] for record in training.trainer.history for part in ("train", "validation")]

    return run


@pytest.mark.parametrize("settings", [SHORT, pytest.param((), marks=pytest.mark.slow)], ids=["short", "whole"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_backends_start_from_the_same_bits_and_agree(train, one, other, settings):
    (start, losses), (same_start, same_losses) = train(one, *settings), train(other, *settings)
    assert start == same_start
    assert losses == pytest.approx(same_losses, rel=1e-4, abs=0)
    assert len(losses) == (4 if settings else 30)


@pytest.mark.parametrize("name", BACKENDS)
def test_another_seed_gives_another_run(train, name):
    (start, losses), (other_start, other_losses) = train(name, *SHORT), train(name, *SHORT, "seed=1")
    assert start != other_start
    assert losses != pytest.approx(other_losses, rel=1e-4)
