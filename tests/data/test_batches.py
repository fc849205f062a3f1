import numpy as np
import pytest

from pycrograd_core.data import batches, epoch_order
from pycrograd_core.errors import DataError


def test_an_epoch_visits_every_row_once():
    assert sorted(epoch_order(100, seed=1, epoch=3)) == list(range(100))


def test_the_order_depends_on_seed_and_epoch_alone():
    order = epoch_order(100, seed=1, epoch=3).tolist()
    assert order == epoch_order(100, seed=1, epoch=3).tolist()
    assert order != epoch_order(100, seed=1, epoch=4).tolist()
    assert order != epoch_order(100, seed=2, epoch=3).tolist()


@pytest.mark.parametrize(("size", "lengths"), [(4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (99, [10]), (1, [1] * 10)])
def test_batches_keep_the_order_and_the_rest(size, lengths):
    order = epoch_order(10, seed=0, epoch=0)
    parts = batches(order, size)
    assert [len(part) for part in parts] == lengths
    assert np.concatenate(parts).tolist() == order.tolist()


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_below_one(size):
    with pytest.raises(DataError, match=f"the batch size must be at least 1, not {size}"):
        batches(np.arange(3), size)
