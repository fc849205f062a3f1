"""Captured steps as kernels, in every style that a device may ask for, against the same steps elsewhere."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from opencl_styles import STYLES, styled
from pycrograd_core import Tensor, capture, nn, no_grad, ops, optim, use_backend
from pycrograd_core.conformance import Subject
from pycrograd_core.conformance.graphs import GRAPHS
from pycrograd_core.conformance.tiers.capture import random_steps
from pycrograd_opencl.compiled import choice, homes, settings
from pycrograd_opencl.compiled import schedule as scheduling
from pycrograd_opencl.compiled.row_products import FEWEST, tiles
from pycrograd_opencl.compiled.schedule import schedule
from pycrograd_opencl.compiled.task import Eager
from pycrograd_opencl.matrix import matrix_on
from twins import Setting, assert_alike

COSTLY = ("launches", "many cores")  # many kernels, each of which PoCL takes long to build
COSTLIEST = (*COSTLY, "kernels of their own", "one work-item")


def costly(names):
    """The styles, of which these wait for the slow tests."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in names else name for name in STYLES]


@pytest.fixture(params=costly(COSTLY))
def matrix(request, monkeypatch, pocl):
    """The matrix class of a device of some kind, which is the same one in truth."""
    schedules = []

    def spied(*given):
        schedules.append(schedule(*given))
        return schedules[-1]

    monkeypatch.setattr("pycrograd_opencl.compiled.schedule.schedule", spied)
    with use_backend(matrix_on(styled(monkeypatch, pocl, request.param))) as made:
        made.schedules = schedules
        yield made


def odd():
    return [nn.Linear(8, 19), nn.Tanh(), nn.Linear(19, 7), nn.ReLU(), nn.Linear(7, 5)]


def others():
    return [nn.Linear(8, 6), nn.LayerNorm(6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 5), nn.Sigmoid()]


def alike(matrix, optimiser, layers, rows, dtype="float32", rtol=1e-4):
    """Calls, then a loop of steps, here and by NumPy op by op: the losses and all that training changes."""
    ours, theirs = (Setting(place, dtype, optimiser, layers, rows) for place in (matrix, "numpy"))
    step = capture(ours.step)
    for _ in range(3):
        found, expected = step(ours.x, ours.labels), theirs.step(theirs.x, theirs.labels)
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=rtol)
    order = np.random.default_rng(1).integers(0, rows, (4, max(1, rows - 2)))
    found = step.scan(ours.x, ours.labels, rows=order)
    for number, chosen in enumerate(order):
        batch = [Tensor(x.numpy()[chosen], dtype=x.dtype, backend="numpy") for x in (theirs.x, theirs.labels)]
        np.testing.assert_allclose(found.numpy()[number, 0], theirs.step(*batch).item(), rtol=rtol, atol=rtol / 100)
    assert_alike(ours, theirs, rtol=rtol)
    assert len(matrix.schedules) > 1
    assert not any(isinstance(task.own, Eager) for made in matrix.schedules for task in made.tasks)


@pytest.mark.parametrize("matrix", costly(COSTLIEST), indirect=True)
@pytest.mark.parametrize(
    "rows", [pytest.param(1, marks=pytest.mark.slow), pytest.param(12, marks=pytest.mark.slow), 33]
)
def test_a_network(matrix, request, rows):
    alike(matrix, "momentum", odd, rows)
    style = request.node.callspec.params["matrix"]
    for made in matrix.schedules:
        assert made.group == {"one work-item": 1, "little code": 1, "one group": 64}.get(style, 0)
        own = any(task.own is not None for task in made.tasks)
        assert own == (style in ("many cores", "kernels of their own"))


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["sgd", "decay", "nesterov", "adamw"])
def test_optimisers_and_layers(matrix, optimiser):
    alike(matrix, optimiser, others, 18, rtol=1e-3 if optimiser == "adamw" else 1e-4)


@pytest.mark.slow
def test_in_float64(matrix):
    alike(matrix, "adam", odd, 12, "float64", 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_steps(matrix, request, dtype):
    """Each style takes some of the graphs, and all styles together take most."""
    first = list(STYLES).index(request.node.callspec.params["matrix"])
    random_steps(Subject(matrix), range(first, GRAPHS, 15), dtype)


@pytest.mark.parametrize(
    ("inner", "columns"), [(1, 1), (3, 257), (513, 6), pytest.param(1153, 1151, marks=pytest.mark.slow)]
)
def test_products_and_gradients_of_awkward_sizes(pocl, inner, columns):
    """Sums longer than a part of one, columns that no tile divides, rows that no block does."""
    generator = np.random.default_rng(0)
    x, w, b = (generator.standard_normal(shape) for shape in ((21, inner), (inner, columns), (1, columns)))
    with use_backend(matrix_on(pocl)):
        weight, bias = Tensor(w, requires_grad=True), Tensor(b, requires_grad=True)
        rate = Tensor([[0.1]])

        @capture
        def step(x):
            x.requires_grad = True
            y = ops.linear(x, weight, bias).tanh()
            (dx,) = capture_gradients(y, x, weight, bias)
            with no_grad():
                weight.update(ops.sgd_update, weight.grad, rate)
                bias.update(ops.sgd_update, bias.grad, rate)
            return y, dx

        y, dx = step(Tensor(x))
    expected = np.tanh(x @ w + b)
    g = 1 - expected**2
    for found, wanted in ((y, expected), (dx, g @ w.T), (weight, w - 0.1 * x.T @ g), (bias, b - 0.1 * g.sum(0))):
        np.testing.assert_allclose(
            found.numpy(), wanted, atol=3e-6 * max(1, np.abs(wanted).max()) * max(1, inner) ** 0.5
        )


def capture_gradients(y, x, weight, bias):
    weight.grad = bias.grad = None
    y.sum().backward()
    return (x.grad,)


def test_a_large_product_outside_a_network_has_a_kernel_of_its_own(matrix, monkeypatch):
    suited = settings.suited
    monkeypatch.setattr(settings, "suited", lambda *given: replace(suited(*given), large=0.0))
    generator = np.random.default_rng(0)
    a, b = generator.standard_normal((70, 33)), generator.standard_normal((65, 33))
    step = capture(lambda a, b: ops.matmul(a, b, transpose_b=True).relu())
    np.testing.assert_allclose(step(Tensor(a), Tensor(b)).numpy(), np.maximum(a @ b.T, 0), atol=1e-4)
    made = matrix.schedules[-1]
    assert any(task.own for task in made.tasks) == (made.group != 64)


@pytest.mark.slow
def test_a_step_that_feeds_draws_what_it_would_eagerly(matrix):
    alike(matrix, "sgd", lambda: [nn.Linear(8, 9), nn.Dropout(0.5), nn.Linear(9, 5)], 12)


def test_tiles_cover_all_columns_and_none_is_narrow_if_it_need_not_be():
    for most in (6, 12):
        for columns in range(1, 200):
            found = tiles(columns, most)
            start = 0
            for width, stop in found:
                assert stop > start
                assert (stop - start) % width == 0
                start = stop
            assert start == columns
            assert columns < 2 * FEWEST or found[-1][0] >= FEWEST
            assert all(width <= most for width, _ in found)


def test_a_step_that_there_is_no_code_for_is_done_eagerly_among_the_others(matrix):
    """One that reads what a kernel wrote and is read by another, one that makes an output, one that makes a state."""
    generator = np.random.default_rng(0)
    start, xs = generator.standard_normal((4, 4)), generator.standard_normal((3, 4))
    w, total, rate = Tensor(start), Tensor(np.zeros((1, 3))), Tensor([[0.1]])

    @capture
    def step(x):
        y = ops.matmul(x, w).tanh()
        w.update(ops.sgd_update, ops.matmul(ops.concat(y.T, y.T, axis=1), ops.concat(x, y, axis=0)), rate)
        total.assign(total + y.T.sum(axis=0))
        return y.T * 2.0, y.argmax(axis=0), total.T

    expected, summed = start, np.zeros((1, 3))
    for x in (xs, xs * 0.5, -xs):
        y = np.tanh(x @ expected)
        summed = summed + y.T.sum(axis=0)
        found = step(Tensor(x))
        expected = expected - 0.1 * np.hstack([y.T, y.T]) @ np.vstack([x, y])
        for one, other in zip(found, (y.T * 2, y.argmax(axis=0)[None], summed.T), strict=True):
            np.testing.assert_allclose(one.numpy(), other, atol=1e-5)
        np.testing.assert_allclose(w.numpy(), expected, atol=1e-5)
    kinds = [type(task.own) for task in matrix.schedules[-1].tasks]
    assert Eager in kinds
    assert kinds.count(Eager) < len(kinds)


def test_a_step_without_code_in_a_loop(matrix):
    """What it reads and writes moves on with each step."""
    table, w = np.random.default_rng(0).standard_normal((9, 4)), Tensor(np.zeros((4, 4)))
    rows = np.random.default_rng(1).integers(0, 9, (5, 3))

    @capture
    def step(x):
        square = ops.matmul(x, x.T, transpose_a=True, transpose_b=True) if x.shape[0] == 4 else ops.matmul(x.T, x)
        w.assign(w + square)
        return x.T.max(axis=0), w.T

    largest, states = step.scan(Tensor(table), rows=rows)
    expected = np.cumsum([table[chosen].T @ table[chosen] for chosen in rows], axis=0)
    np.testing.assert_allclose(
        largest.numpy(), np.concatenate([table[chosen].T.max(0)[None] for chosen in rows]), atol=1e-6
    )
    np.testing.assert_allclose(states.numpy(), np.concatenate([each.T for each in expected]), atol=1e-5)
    assert any(isinstance(task.own, Eager) for task in matrix.schedules[-1].tasks)


def test_matrices_of_nothing(matrix):
    step = capture(lambda x: (x[1:1] * 2.0, x[1:1].sum(axis=0) + 1.0))
    nothing, one = step(Tensor([[1.0, 2.0]]))
    assert nothing.shape == (0, 2)
    assert one.tolist() == [[1.0, 1.0]]


def test_a_product_with_what_it_overwrites(matrix):
    w = Tensor(np.eye(3) * 2, requires_grad=False)

    @capture
    def step(rate):
        gradient = ops.matmul(w, w, transpose_a=True)
        w.update(ops.sgd_update, gradient, rate)
        return gradient.sum()

    for expected in (12.0, 9.72):
        assert step(Tensor([[0.05]])).item() == pytest.approx(expected, rel=1e-6)


def test_one_value_that_two_states_take(matrix):
    """The update's product reads what the update overwrites, whichever of the two it is computed in."""
    start = np.random.default_rng(0).standard_normal((37, 37)) * 0.1
    w, v = Tensor(start), Tensor(start)
    rate = Tensor([[0.05]])

    @capture
    def step():
        new = ops.sgd_update(w, ops.matmul(w, w, transpose_a=True), rate)
        w.assign(new)
        v.assign(new)

    expected = start
    for _ in range(2):
        step()
        expected = expected - 0.05 * expected.T @ expected
        np.testing.assert_allclose(w.numpy(), expected, atol=1e-6)
        np.testing.assert_allclose(v.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_from_what_was_made_of_indices_alone(matrix, dtype):
    labels = np.random.default_rng(0).integers(0, 5, 32)
    g = np.random.default_rng(1).standard_normal((32, 3))
    w, rate = Tensor(np.zeros((5, 3)), dtype=dtype), Tensor([[1.0]], dtype=dtype)

    @capture
    def step(labels, g):
        hot = ops.one_hot(labels, classes=5, dtype=dtype)
        w.update(ops.sgd_update, ops.matmul(hot, g, transpose_a=True), rate)

    step(Tensor(labels, dtype="int32"), Tensor(g, dtype=dtype))
    np.testing.assert_allclose(w.numpy(), -np.eye(5)[labels].T @ g, atol=1e-5)


def test_where_work_items_are_many_they_share_a_long_sequence(matrix, request):
    x = np.random.default_rng(0).standard_normal((70, 1100))
    step = capture(lambda x: ((x * x).sum(), x.max(axis=1)))
    square, largest = step(Tensor(x))
    assert square.item() == pytest.approx((x * x).sum(), rel=1e-5)
    np.testing.assert_allclose(largest.numpy(), x.max(axis=1, keepdims=True), rtol=1e-6)
    shared = any(isinstance(task.own, Eager) for task in matrix.schedules[-1].tasks)
    assert shared == (request.node.callspec.params["matrix"] == "kernels of their own")


@pytest.mark.slow
def test_long_sums_keep_their_digits(matrix):
    x = np.full((300_000, 2), 0.1)
    w, rate = Tensor(np.zeros((1, 2))), Tensor([[1.0]])

    @capture
    def step(x):
        w.update(ops.sgd_update, ops.sum(x * 1.0, axis=0), rate)
        return ops.sum(x * 2.0), ops.matmul(x, x, transpose_a=True)

    total, square = step(Tensor(x))
    assert total.item() == pytest.approx(120_000, rel=2e-5)
    np.testing.assert_allclose(w.numpy(), -30_000, rtol=2e-5)
    np.testing.assert_allclose(square.numpy(), 3_000, rtol=2e-5)
    wide = capture(lambda x: ops.sum(x, axis=1))
    np.testing.assert_allclose(wide(Tensor(x.reshape(2, -1))).numpy(), 30_000, rtol=2e-5)


@pytest.mark.slow
def test_updates_of_adam_do_not_wait_for_each_other(matrix):
    ours = Setting(matrix, "float32", "adam", odd, 12)
    capture(ours.step)(ours.x, ours.labels)
    groups = matrix.schedules[-1].groups
    assert len([group for group in groups if group[0].own is None]) < 16


@pytest.mark.parametrize("function", [lambda x: x * 2.0 + 1.0, lambda x: x.T], ids=["kernels", "eager"])
def test_a_call_keeps_nothing_that_it_was_given(pocl, function):
    memory = matrix_on(pocl).runtime.memory
    with use_backend(matrix_on(pocl)):
        step = capture(function)
        size = 4_000_000
        before = memory.in_use
        for _ in range(3):
            y = step(Tensor(np.ones((1000, 1000))))
        del y
        gc.collect()
        assert memory.in_use - before < size


def test_a_sweep_for_an_update_beside_a_step_without_code(matrix):
    """What it would leave in blocks has a buffer of its own, as all has then."""
    generator = np.random.default_rng(0)
    w, g = generator.standard_normal((40, 40)), generator.standard_normal((32, 3))
    total, rate = Tensor(np.zeros((40, 3))), Tensor([[0.1]])
    weight, gradient = Tensor(w), Tensor(g)

    @capture
    def step(x):
        h = ops.matmul(x, weight).tanh()
        total.update(ops.sgd_update, ops.matmul(h, gradient, transpose_a=True), rate)
        return x.T

    expected = np.zeros((40, 3))
    for _ in range(3):
        x = generator.standard_normal((32, 40))
        np.testing.assert_array_equal(step(Tensor(x)).numpy(), x.T.astype("f4"))
        expected = expected - 0.1 * np.tanh(x @ w).T @ g
        np.testing.assert_allclose(total.numpy(), expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "width"), [(16, 8), (33, 17), (32, 40)])
def test_attention(matrix, rows, width):
    """Whose transposes are done eagerly, between sweeps, products and updates."""
    generator = np.random.default_rng(rows)
    xs = generator.standard_normal((3, rows, width))
    start = [generator.standard_normal((width, width)) / width for _ in range(3)]

    def trained(place):
        tensors = [Tensor(each, requires_grad=True, backend=place) for each in start]
        optimiser = optim.Adam(tensors, 0.01)

        def step(x):
            queries, keys, values = (ops.matmul(x, each) for each in tensors)
            loss = (ops.matmul(ops.softmax(ops.matmul(queries, keys.T)), values) ** 2.0).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss

        step = step if place else capture(step)
        losses = [step(Tensor(x, backend=place)).item() for x in xs]
        return losses, [each.numpy() for each in tensors]

    losses, tensors = trained(None)
    expected, others = trained("numpy")
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for one, other in zip(tensors, others, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_gradient_that_is_a_constant(matrix):
    """Of a sum, that is: a product of one number throughout, which is in memory for that."""
    w, b = Tensor(np.ones((5, 7)), requires_grad=True), Tensor(np.ones((1, 7)), requires_grad=True)
    x, rate = np.random.default_rng(0).standard_normal((16, 5)), Tensor([[0.1]])

    @capture
    def step(x):
        w.grad = b.grad = None
        ops.linear(x, w, b).sum().backward()
        with no_grad():
            w.update(ops.sgd_update, w.grad, rate)
            b.update(ops.sgd_update, b.grad, rate)

    step(Tensor(x))
    np.testing.assert_allclose(w.numpy(), 1 - 0.1 * x.T @ np.ones((16, 7)), atol=1e-5)
    np.testing.assert_allclose(b.numpy(), np.full((1, 7), 1 - 1.6), atol=1e-5)


@pytest.mark.parametrize("matrix", costly({*STYLES} - {"little code"}), indirect=True)
def test_a_region_of_more_matrices_than_a_kernel_takes(matrix, monkeypatch):
    for module in (choice, homes, scheduling):
        monkeypatch.setattr(module, "parameters", lambda device: 8)
    rows = [np.full((1, 8), 0.1 * number) for number in range(9)]

    @capture
    def step(x, *rows):
        for row in rows:
            x = (x + row).tanh()
        return ops.softmax(x)

    x = expected = np.random.default_rng(0).standard_normal((16, 8))
    found = step(Tensor(x), *map(Tensor, rows))
    for row in rows:
        expected = np.tanh(expected + row)
    expected = np.exp(expected)
    np.testing.assert_allclose(found.numpy(), expected / expected.sum(axis=1, keepdims=True), atol=1e-5)
    for group in matrix.schedules[-1].groups:
        assert len(set().union(*[task.bases for task in group])) <= 8


@pytest.mark.slow
def test_what_is_drawn_for_many_steps_is_drawn_in_turns(matrix, monkeypatch):
    monkeypatch.setattr("pycrograd_opencl.compiled.schedule.DRAWN", 2 * 4 * 12 * 9)
    alike(matrix, "sgd", lambda: [nn.Linear(8, 9), nn.Dropout(0.5), nn.Linear(9, 5)], 12)
    assert 1 <= matrix.schedules[-1].steps <= 2


def test_what_was_compiled_before_states_moved_finds_them(pocl):
    with use_backend(matrix_on(pocl)):
        states = [Tensor(np.zeros((2, 3))) for _ in range(pocl.handle.max_parameter_size // homes.POINTER)]
        few = capture(lambda: states[0].assign(states[0] + 1.0) or states[0] * 1.0)
        many = capture(lambda: [state.assign(state + 1.0) for state in states] and None)
        values = []
        for _ in range(2):
            values.append(few().numpy()[0, 0])
            many()
        values.append(few().numpy()[0, 0])
    assert values == [1.0, 3.0, 5.0]
    assert all(state.value.home for state in states)


@pytest.mark.slow
@pytest.mark.parametrize("first", [False, True])
def test_more_states_than_a_kernel_has_parameters(matrix, monkeypatch, first):
    """They move into one buffer, once, where eager code and other programs find them."""
    monkeypatch.setattr(homes, "OTHERS", matrix.runtime.device.handle.max_parameter_size // homes.POINTER - 3)
    ours, theirs = (Setting(place, "float32", "momentum", odd, 12) for place in (matrix, "numpy"))
    train, evaluate = capture(ours.step), capture(lambda x: ours.model(x).sum())
    if first:  # compiled before anything moves
        assert evaluate(ours.x).item() == pytest.approx(theirs.model(theirs.x).sum().item(), rel=1e-4)
    for _ in range(2):
        train(ours.x, ours.labels)
        theirs.step(theirs.x, theirs.labels)
        expected = theirs.model(theirs.x).sum().item()
        assert evaluate(ours.x).item() == pytest.approx(expected, rel=1e-4)
        assert ours.model(ours.x).sum().item() == pytest.approx(expected, rel=1e-4)
    moved = [tensor.value for tensor in ours.model.parameters()]
    assert len({id(each.home[0]) for each in moved}) == 1
    assert_alike(ours, theirs, rtol=1e-4)
