import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycrograd_core.data import Dataset, split, take
from pycrograd_core.errors import DataError
from pycrograd_core.random import RandomStream


def labelled(*counts):
    """A data set with so many rows of each class, whose single feature is the number of the row."""
    targets = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    return Dataset("toy", np.arange(len(targets), dtype=np.float32)[:, None], targets, len(counts))


def regression(count):
    values = np.arange(count, dtype=np.float32)[:, None]
    return Dataset("toy", values, values, None)


def stream():
    return RandomStream(1, "split")


def ids(data):
    return data.features[:, 0].astype(int).tolist()


def counts(data):
    return np.bincount(data.targets, minlength=data.classes).tolist()


@pytest.mark.parametrize(
    ("sizes", "samples", "expected"),
    [
        ((50, 50), 10, [5, 5]),
        ((60, 30, 10), 10, [6, 3, 1]),
        ((50, 50), 5, [3, 2]),
        ((97, 1, 2), 100, [97, 1, 2]),
        ((0, 4, 4), 4, [0, 2, 2]),
    ],
)
def test_take_is_stratified(sizes, samples, expected):
    assert counts(take(labelled(*sizes), samples, stream())) == expected


def test_take_depends_on_the_stream_alone():
    data = labelled(50, 50)
    first, second = (ids(take(data, 10, RandomStream(seed))) for seed in (1, 2))
    assert first == ids(take(data, 10, RandomStream(1)))
    assert first != second


def test_take_of_everything_is_the_data_set_in_its_order():
    assert ids(take(regression(9), 9, stream())) == list(range(9))


@pytest.mark.parametrize("samples", [0, -1, 11])
def test_take_says_how_many_there_are(samples):
    with pytest.raises(DataError, match=f"cannot take {samples} samples of data set 'toy': it has 10"):
        take(labelled(5, 5), samples, stream())


@pytest.mark.parametrize("data", [labelled(50, 50), labelled(33, 33, 34), labelled(1, 98, 1), regression(100)])
def test_a_fifth_of_a_hundred_is_exactly_twenty(data):
    training, validation = split(data, 0.2, stream())
    assert (len(training), len(validation)) == (80, 20)


def test_split_is_stratified():
    training, validation = split(labelled(60, 30, 10), 0.1, stream())
    assert counts(training) == [54, 27, 9]
    assert counts(validation) == [6, 3, 1]


def test_no_validation():
    data = labelled(2, 2)
    assert split(data, 0, stream()) == (data, None)


def test_split_depends_on_the_stream_alone():
    data = regression(30)
    first, second = (ids(split(data, 0.3, RandomStream(seed))[1]) for seed in (1, 2))
    assert first == ids(split(data, 0.3, RandomStream(1))[1])
    assert first != second


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6).filter(any), st.floats(0.01, 0.99))
def test_any_split_is_exact_disjoint_and_keeps_each_class_in_training(sizes, fraction):
    data = labelled(*sizes)
    held_out = round(fraction * len(data))
    if held_out == len(data):
        with pytest.raises(DataError):
            split(data, fraction, stream())
        return
    training, validation = split(data, fraction, stream())
    if held_out == 0:
        assert validation is None
        return
    assert len(validation) == held_out
    assert sorted(ids(training) + ids(validation)) == list(range(len(data)))
    if held_out <= sum(max(size - 1, 0) for size in sizes):
        assert all(kept > 0 for kept, size in zip(counts(training), sizes, strict=True) if size)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(DataError, match=rf"the validation fraction must be in \[0, 1\), not {fraction}"):
        split(labelled(5, 5), fraction, stream())


def test_a_fraction_that_is_no_row_is_no_validation():
    data = labelled(5, 5)
    assert split(data, 0.01, stream()) == (data, None)


@pytest.mark.parametrize("data", [labelled(1), regression(10)])
def test_a_fraction_that_leaves_nothing_to_train_on(data):
    with pytest.raises(DataError, match="leaves none to train on"):
        split(data, 0.99, stream())


def test_more_classes_than_rows_to_spare():
    training, validation = split(labelled(1, 1, 1, 1, 1), 0.2, stream())
    assert (len(training), len(validation)) == (4, 1)
