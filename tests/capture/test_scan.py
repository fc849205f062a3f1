"""Many steps in one call are as many calls."""

import numpy as np
import pytest

from places import BACKENDS, EXACT
from pycrograd_core import Tensor, capture, nn, no_grad, ops
from pycrograd_core.errors import BackendMismatchError, CaptureError, DataError, IndexRangeError
from twins import Setting, assert_alike, with_dropout

pytestmark = pytest.mark.parametrize("backend", EXACT)
ROWS = np.random.default_rng(2).integers(0, 12, (7, 5))


@pytest.mark.parametrize("layers", [None, with_dropout])
@pytest.mark.parametrize("parts", [[7], [1, 6], [3, 4], [1] * 7])
def test_a_scan_is_as_many_steps(backend, layers, parts):
    eager, captured = (Setting(backend, optimiser="adamw", layers=layers) for _ in range(2))
    expected = [eager.step(eager.x.take_rows(rows), eager.labels.take_rows(rows)).item() for rows in ROWS]
    step = capture(captured.step)
    found = [step.scan(captured.x, captured.labels, rows=rows) for rows in np.split(ROWS, np.cumsum(parts)[:-1])]
    assert [losses.shape for losses in found] == [(part, 1) for part in parts]
    np.testing.assert_allclose(np.concatenate([losses.numpy() for losses in found])[:, 0], expected, rtol=1e-12)
    assert_alike(eager, captured)
    assert len(step.programs) == 1


def test_scans_and_calls_take_turns(backend):
    eager, captured = Setting(backend), Setting(backend)
    step = capture(captured.step)
    for number, rows in enumerate(ROWS):
        expected = eager.step(eager.x.take_rows(rows), eager.labels.take_rows(rows)).item()
        if number % 3:
            loss = step.scan(captured.x, captured.labels, rows=rows[None])
        else:
            loss = step(captured.x.take_rows(rows), captured.labels.take_rows(rows))
        assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert_alike(eager, captured)
    assert len(step.programs) == 1


@pytest.mark.parametrize("kind", ["a list", "an array", "a tensor"])
def test_numbers_of_rows(backend, kind):
    x = Tensor(np.arange(12.0).reshape(6, 2), backend=backend)
    rows = {
        "a list": [[0, 5], [3, 3]],
        "an array": np.array([[0, 5], [3, 3]], np.uint8),
        "a tensor": Tensor([[0, 5], [3, 3]], dtype="int32", backend=backend),
    }[kind]
    assert capture(lambda x: x * 2.0).scan(x, rows=rows).tolist() == [[0, 2], [20, 22], [12, 14], [12, 14]]


def test_what_differs_from_step_to_step(backend):
    setting, rate = Setting(backend), [[0.5], [0.25], [0.125]]

    def step(x, labels, rate):
        setting.optimiser.rate.assign(rate)
        return setting.step(x, labels), rate * 2.0

    eager = Setting(backend)
    expected = []
    for rows, value in zip(ROWS, rate, strict=False):
        eager.optimiser.learning_rate = value[0]
        expected.append(eager.step(eager.x.take_rows(rows), eager.labels.take_rows(rows)).item())
    losses, doubled = capture(step).scan(setting.x, setting.labels, rows=ROWS[:3], each=[setting.x.like(rate)])
    np.testing.assert_allclose(losses.numpy()[:, 0], expected, rtol=1e-12)
    assert doubled.tolist() == [[1.0], [0.5], [0.25]]
    assert_alike(eager, setting)
    with pytest.raises(DataError, match="a row for each of the 4 steps; got 3 rows"):
        capture(step).scan(setting.x, setting.labels, rows=ROWS[:4], each=[setting.x.like(rate)])


def test_what_is_returned_is_stacked(backend):
    x = Tensor(np.arange(6.0).reshape(3, 2), backend=backend)
    step = capture(lambda x: {"rows": x + 1.0, "more": [x.sum(), None, 3], "whole": (x.sum(axis=0),)})
    for _ in range(3):
        found = step.scan(x, rows=[[0, 1], [2, 2]])
        assert found["rows"].tolist() == [[1, 2], [3, 4], [5, 6], [5, 6]]
        assert found["more"][0].tolist() == [[6], [18]]
        assert found["more"][1:] == [None, 3]
        assert found["whole"][0].tolist() == [[2, 4], [8, 10]]


def test_steps_that_keep_gradients_or_hand_out_arguments(backend):
    x = Tensor(np.arange(6.0).reshape(3, 2), backend=backend)
    weight, twin = (Tensor([[1.0, 2.0]], requires_grad=True, backend=backend) for _ in range(2))

    def step(x):
        y = (x * weight).sum()
        y.backward()
        return y, x

    for _ in range(3):
        losses, given = capture(step).scan(x, rows=[[0, 1], [2, 2]])
        assert losses.tolist() == [[10.0], [28.0]]
        assert given.tolist() == [[0, 1], [2, 3], [4, 5], [4, 5]]
        for rows in ([0, 1], [2, 2]):
            (x.take_rows(rows) * twin).sum().backward()
        assert weight.grad.tolist() == twin.grad.tolist()


def test_evaluation(backend):
    setting = Setting(backend, layers=with_dropout)
    setting.model.eval()

    def judge(x, labels):
        outputs = setting.model(x)
        return nn.cross_entropy(outputs, labels), ops.count_correct(outputs, labels)

    with no_grad():
        expected = [judge(setting.x.take_rows(rows), setting.labels.take_rows(rows)) for rows in ROWS]
        losses, correct = capture(judge).scan(setting.x, setting.labels, rows=ROWS)
    np.testing.assert_allclose(losses.numpy()[:, 0], [loss.item() for loss, _ in expected], rtol=1e-12)
    assert correct.numpy()[:, 0].tolist() == [count.item() for _, count in expected]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1], "steps × batch"),
        ([[0.5]], "must be integers"),
        (np.zeros((0, 3), int), "at least one step"),
        ([[0, 3]], "0 … 2"),
        ([[-1, 0]], "0 … 2"),
    ],
)
def test_wrong_rows(backend, rows, message):
    x = Tensor(np.arange(6.0).reshape(3, 2), backend=backend)
    with pytest.raises(DataError, match=message):
        capture(lambda x: x * 2.0).scan(x, rows=rows)


def test_wrong_data(backend):
    x = Tensor(np.arange(6.0).reshape(3, 2), backend=backend)
    step = capture(lambda x: x * 2.0)
    with pytest.raises(DataError, match="equally many rows"):
        step.scan(x, x[:2], rows=[[0]])
    with pytest.raises(DataError, match="equally many rows"):
        step.scan(rows=[[0]])
    with pytest.raises(CaptureError, match="no gradients"):
        step.scan(Tensor([[1.0]], requires_grad=True, backend=backend), rows=[[0]])

    def writing(batch):
        x.assign(x + 1.0)
        return batch * 1.0

    with pytest.raises(CaptureError, match="written to by the step"):
        capture(writing).scan(x, rows=[[0]])


def test_a_step_at_a_time_is_confirmed_too(backend):
    numbers, x = iter(range(100)), Tensor([[1.0], [2.0]], backend=backend)
    step = capture(lambda x: x * float(next(numbers)))
    step.scan(x, rows=[[0]])
    with pytest.raises(CaptureError, match="became"):
        step.scan(x, rows=[[0]])


def test_a_first_step_unlike_the_others(backend):
    def twin():
        weight, x = Tensor([[2.0]], requires_grad=True, backend=backend), Tensor([[1.0]], backend=backend)

        def step(x):
            factor = 1.0 if weight.grad is None else 10.0
            weight.grad = None
            y = x * weight * factor
            y.backward()
            with no_grad():
                weight.update(ops.sgd_update, weight.grad, rate)
            return y

        rate = Tensor([[0.1]], backend=backend)
        return step, x

    (eager, x), (step, other) = twin(), twin()
    expected = [eager(x.take_rows([0])).item() for _ in range(4)]
    np.testing.assert_allclose(capture(step).scan(other, rows=[[0]] * 4).numpy()[:, 0], expected, rtol=1e-6)


def test_rows_that_are_not_used_may_hold_anything(backend):
    table, labels = Tensor([[1.0], [2.0]], backend=backend), Tensor([0, -1, 1, 7], dtype="int32", backend=backend)
    step = capture(lambda labels: table.take_rows(labels))
    for _ in range(3):
        assert step.scan(labels, rows=[[0], [2]]).tolist() == [[1.0], [2.0]]
    with pytest.raises(IndexRangeError, match="index 7"):
        step.scan(labels, rows=[[0], [3]])


def test_row_numbers_that_the_steps_write(backend):
    table = Tensor([[0.0], [1.0], [2.0], [3.0], [4.0]], backend=backend)
    place = table.like_indices([0])

    def step(labels):
        y = table.take_rows(place)
        place.assign(labels)
        return y

    captured = capture(step)
    labels = table.like_indices([1, 3, 7, 2])
    assert captured.scan(labels, rows=[[0], [1], [3]]).tolist() == [[0.0], [1.0], [3.0]]
    with pytest.raises(IndexRangeError, match="index 7"):
        captured.scan(labels, rows=[[2], [0]])


def test_a_returned_parameter_is_as_it_was_after_each_step(backend):
    weight = Tensor([[1.0]], backend=backend)

    def step(x):
        weight.assign(weight + x)
        return weight

    x = Tensor([[1.0], [10.0]], backend=backend)
    assert capture(step).scan(x, rows=[[0], [1], [0]]).tolist() == [[2.0], [12.0], [13.0]]


@pytest.mark.parametrize("wrong", ["a gradient", "a backend"])
def test_what_differs_must_be_like_the_data(backend, wrong):
    x = Tensor([[1.0]], backend=backend)
    if wrong == "a gradient":
        each, error = Tensor([[2.0]], requires_grad=True, backend=backend), CaptureError
    else:
        others = [name for name in BACKENDS if name != backend]
        if not others:
            return
        each, error = Tensor([[2.0]], backend=others[0]), BackendMismatchError
    with pytest.raises(error):
        capture(lambda x, each: x * each).scan(x, rows=[[0]], each=[each])


@pytest.mark.many_programs
def test_many_layers_that_draw(backend):
    """More lines than a backend may want in one function."""

    def layers():
        return [layer for _ in range(40) for layer in (nn.Linear(8, 8), nn.Dropout(0.2), nn.Tanh())]

    eager, captured = (Setting(backend, layers=layers) for _ in range(2))
    expected = [eager.step(eager.x.take_rows(rows), eager.labels.take_rows(rows)).item() for rows in ROWS[:3]]
    losses = capture(captured.step).scan(captured.x, captured.labels, rows=ROWS[:3])
    np.testing.assert_allclose(losses.numpy()[:, 0], expected, rtol=1e-12)
