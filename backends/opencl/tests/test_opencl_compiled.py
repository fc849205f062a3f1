"""Captured steps as kernels, in every style that a device may ask for, against the same steps elsewhere."""

from dataclasses import replace

import numpy as np
import pytest

from graphs import GRAPHS
from pycrograd_core import Tensor, capture, nn, no_grad, ops, use_backend
from pycrograd_opencl.compiled import homes
from pycrograd_opencl.compiled.row_products import FEWEST, tiles
from pycrograd_opencl.matrix import matrix_on
from test_random_steps import CALLS, Twin, close
from twins import Setting, assert_alike

STYLES = {  # the kind of device, and what is taken for small
    "one work-item": ("CPU", {"choice.SMALL": 0.0, "schedule.LAUNCH": 1.0}),
    "little code": ("CPU", {"choice.SMALL": 1e9, "schedule.LAUNCH": 1.0}),
    "launches": ("CPU", {"choice.SMALL": 0.0, "schedule.LAUNCH": 0.0}),
    "large products": ("CPU", {"choice.SMALL": 0.0, "schedule.LAUNCH": 0.0, "choice.LARGE": 0.0, "choice.FEW": 1}),
    "many cores": ("CPU", {"choice.SMALL": 0.0, "schedule.LAUNCH": 0.0, "choice.BUSY": 0.0}),
    "one group": ("discrete GPU", {"schedule.SMALL_ON_GPU": 1e9}),
    "kernels of their own": ("discrete GPU", {"schedule.SMALL_ON_GPU": 0.0}),
}


@pytest.fixture(params=STYLES)
def matrix(request, monkeypatch, pocl):
    """The matrix class of a device of some kind, which is the same one in truth."""
    kind, settings = STYLES[request.param]
    for name, value in settings.items():
        monkeypatch.setattr(f"pycrograd_opencl.compiled.{name}", value)
    lanes = pocl.lanes if kind == "CPU" else 1
    units = 16 if request.param == "many cores" else pocl.units
    with use_backend(matrix_on(replace(pocl, kind=kind, lanes=lanes, units=units, largest_group=64))) as made:
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


@pytest.mark.parametrize("rows", [1, pytest.param(12, marks=pytest.mark.slow), 33])
def test_a_network(matrix, rows):
    alike(matrix, "momentum", odd, rows)


@pytest.mark.slow
@pytest.mark.parametrize("optimiser", ["sgd", "decay", "nesterov", "adamw"])
def test_optimisers_and_layers(matrix, optimiser):
    alike(matrix, optimiser, others, 18, rtol=1e-3 if optimiser == "adamw" else 1e-4)


@pytest.mark.slow
def test_in_float64(matrix):
    alike(matrix, "adam", odd, 12, "float64", 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_steps(matrix, dtype):
    for seed in range(0, GRAPHS, 5):
        captured, eager = Twin(seed, None, dtype), Twin(seed, None, dtype)
        step = capture(captured.step)
        for call in range(CALLS - 2):
            found = step(*captured.arguments(call))
            expected = eager.step(*eager.arguments(call))
            for one, other in zip(
                [found[0], *found[1], found[2]], [expected[0], *expected[1], expected[2]], strict=True
            ):
                close(one.numpy(), other.numpy(), dtype)
        for one, other in zip(captured.state(), eager.state(), strict=True):
            close(one, other, dtype)


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


def test_a_program_with_a_step_that_it_has_no_code_for_is_left_to_the_core(pocl):
    with use_backend(matrix_on(pocl)):

        @capture
        def step(x):
            return x.T

        x = Tensor([[1.0, 2.0]])
        assert step(x).tolist() == [[1.0], [2.0]]


def test_a_product_with_what_it_overwrites(matrix):
    w = Tensor(np.eye(3) * 2, requires_grad=False)

    @capture
    def step(rate):
        gradient = ops.matmul(w, w, transpose_a=True)
        w.update(ops.sgd_update, gradient, rate)
        return gradient.sum()

    for expected in (12.0, 9.72):
        assert step(Tensor([[0.05]])).item() == pytest.approx(expected, rel=1e-6)


def test_more_states_than_a_kernel_has_parameters(matrix, monkeypatch):
    """They move into one buffer, once, where eager code and other programs find them."""
    monkeypatch.setattr(homes, "OTHERS", matrix.runtime.device.handle.max_parameter_size // homes.POINTER - 3)
    ours, theirs = (Setting(place, "float32", "momentum", odd, 12) for place in (matrix, "numpy"))
    train, evaluate = capture(ours.step), capture(lambda x: ours.model(x).sum())
    for _ in range(2):
        train(ours.x, ours.labels)
        theirs.step(theirs.x, theirs.labels)
        expected = theirs.model(theirs.x).sum().item()
        assert evaluate(ours.x).item() == pytest.approx(expected, rel=1e-4)
        assert ours.model(ours.x).sum().item() == pytest.approx(expected, rel=1e-4)
    moved = [tensor.value for tensor in ours.model.parameters()]
    assert len({id(each.home[0]) for each in moved}) == 1
    assert_alike(ours, theirs, rtol=1e-4)
