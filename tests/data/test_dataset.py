import numpy as np
import pytest

from pycrograd_core.data import Dataset
from pycrograd_core.errors import DataError, IndexRangeError


def features(rows=3, columns=2):
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def labels(*values):
    return np.array(values, np.int32)


def test_a_classification_data_set_knows_its_size():
    data = Dataset("toy", features(), labels(0, 1, 2), classes=3)
    assert (len(data), data.inputs, data.outputs) == (3, 2, 3)


def test_a_regression_data_set_has_an_output_per_target():
    data = Dataset("toy", features(), features(3, 4), classes=None)
    assert (len(data), data.inputs, data.outputs) == (3, 2, 4)


def test_rows_keeps_order_and_names():
    data = Dataset("toy", features(), labels(0, 1, 2), 3, ("a", "b"), ("x", "y", "z"))
    part = data.rows([2, 0])
    assert part.targets.tolist() == [2, 0]
    assert part.features.tolist() == [[4, 5], [0, 1]]
    assert part.features.flags.c_contiguous
    assert (part.columns, part.label_names, part.classes) == (data.columns, data.label_names, 3)


@pytest.mark.parametrize("index", [-1, 3])
def test_rows_outside_the_data_set(index):
    with pytest.raises(IndexRangeError, match=rf"'toy': there is no row {index} among 3 rows"):
        Dataset("toy", features(), labels(0, 1, 2), 3).rows([0, index])


def test_no_rows_at_all():
    with pytest.raises(DataError, match=r"'toy': it is empty: features \(0, 2\)"):
        Dataset("toy", features(), labels(0, 1, 2), 3).rows([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((features(0), labels(), 2), r"it is empty: features \(0, 2\)"),
        ((features(3, 0), labels(0, 1, 0), 2), r"it is empty: features \(3, 0\)"),
        ((features(), labels(0, 1), 2), "3 rows of features, but 2 targets"),
        ((features(), labels(0, -1, 1), 2), r"row 1: the label -1 is outside 0 … 1"),
        ((features(), labels(0, 1, 2), 2), r"row 2: the label 2 is outside 0 … 1"),
        ((features().astype(np.float64), labels(0, 1, 1), 2), "features must be .* float32 .* not float64"),
        ((features()[:, ::-1], labels(0, 1, 1), 2), "features must be a C-contiguous"),
        ((features()[0], labels(0, 1), 2), r"features must be .* 2 dimension\(s\), .* shape \(2,\)"),
        ((features(), np.array([0, 1, 1]), 2), "targets must be .* int32 .* not int64"),
        ((features(), labels(0, 1, 1), None), "targets must be .* float32 .* not int32"),
        ((features(), labels(0, 1, 1), 2, ("a",)), "1 column names for 2 columns"),
        ((features(), labels(0, 1, 1), 2, (), ("a",)), "1 label names for 2 classes"),
    ],
)
def test_mistakes_are_named(arguments, message):
    with pytest.raises(DataError, match=f"data set 'toy': {message}"):
        Dataset("toy", *arguments)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(("columns", "name"), [((), "1"), (("x2", "x3"), "'x3'")])
def test_features_that_are_not_finite_are_located(value, columns, name):
    wrong = features(20)
    wrong[17, 1] = float(value)
    with pytest.raises(DataError, match=rf"data set 'toy': row 17, column {name} is {value}"):
        Dataset("toy", wrong, labels(*[0] * 20), 1, columns)


def test_regression_targets_that_are_not_finite_are_located():
    targets = features(3, 2)
    targets[2, 0] = np.nan
    with pytest.raises(DataError, match="data set 'toy': row 2, target 0 is nan"):
        Dataset("toy", features(), targets, None)
