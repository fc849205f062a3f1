import numpy as np
import pytest

from pycrograd_core.data import digits, moons


def test_moons():
    data = moons(seed=3)
    assert (len(data), data.inputs, data.outputs, data.classes) == (100, 2, 2, 2)
    assert np.bincount(data.targets).tolist() == [50, 50]
    assert len(set(data.targets[:20].tolist())) == 2  # shuffled
    assert np.array_equal(data.features, moons(seed=3).features)
    assert not np.array_equal(data.features, moons(seed=4).features)


def test_moons_without_noise_lie_on_two_half_circles():
    data = moons(samples=51, noise=0.0, seed=0)
    centres = np.array([[0, 0], [1, 0.5]])[data.targets]
    assert np.allclose(np.hypot(*(data.features - centres).T), 1, atol=1e-6)
    assert len(data) == 51


@pytest.mark.parametrize("seed", [-1, 2**40])
def test_moons_take_any_seed_that_a_run_takes(seed):
    assert len(moons(samples=4, seed=seed)) == 4


def test_digits():
    data = digits()
    assert (len(data), data.inputs, data.outputs) == (1797, 64, 10)
    assert (data.features.min(), data.features.max()) == (0, 1)
    assert sorted(set(data.targets.tolist())) == list(range(10))
