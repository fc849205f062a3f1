"""What the examples compute, against formulas of their own, on every backend. `test_installed` installs them."""

import numpy as np
import pytest

from pycrograd_core import Tensor, capture, grad, gradgradcheck, nn
from pycrograd_core.benchmark import Problem, objection, reference_losses
from pycrograd_core.random import RandomStream, use_stream

CLOSE = {"float32": 2e-6, "float64": 1e-13}


def drawn(*shape, label=0):
    return RandomStream(0, "examples", label).normal(shape[0] * shape[1]).reshape(shape).astype("float64")


def close(found, expected, dtype):
    return np.abs(found - expected).max() <= CLOSE[dtype] * max(1.0, np.abs(expected).max())


def test_swish(example, dtype):
    swish = example("swish").swish
    values = drawn(4, 6)
    s = 1 / (1 + np.exp(-values))
    x = Tensor(values, requires_grad=True, dtype=dtype)
    y = swish(x)
    y.backward([[1.0] * 6] * 4)
    assert y.node.op is swish
    assert close(y.numpy(), values * s, dtype)
    assert close(x.grad.numpy(), s + values * s * (1 - s), dtype)
    assert close(Tensor.of(swish(x.value)).numpy(), values * s, dtype)


def test_swish_can_be_differentiated_twice(example, exact):
    gradgradcheck(example("swish").swish, [Tensor(drawn(2, 3), requires_grad=True, dtype="float64")])


def test_swish_within_a_captured_step(example, dtype):
    swish = example("swish").swish
    weight = Tensor(drawn(3, 4), requires_grad=True, dtype=dtype)

    def step(x):
        loss = swish(x @ weight).sum()
        return loss, *grad(loss, [weight])

    replayed = capture(step)
    for number in range(3):
        x = Tensor(drawn(5, 3, label=number), dtype=dtype)
        for found, expected in zip(replayed(x), step(x), strict=True):
            assert close(found.numpy(), expected.numpy().astype("float64"), dtype)


def lion(weight, gradients, rate, beta1, beta2, decay):
    """Algorithm 2 of arXiv 2302.06675, in float64."""
    momentum = np.zeros_like(weight)
    for gradient in gradients:
        blend = beta1 * momentum + (1 - beta1) * gradient
        weight = weight - rate * (np.sign(blend) + decay * weight)
        momentum = beta2 * momentum + (1 - beta2) * gradient
    return weight, momentum


@pytest.mark.parametrize("how", ["eager", "captured"])
def test_lion(example, dtype, how):
    start, inputs = drawn(4, 3), [drawn(5, 4, label=number) for number in range(6)]
    inputs[3][:, 1] = 0.0  # no gradient for a row of the weight, whose momentum goes on
    weight = Tensor(start, requires_grad=True, dtype=dtype)
    optimiser = example("lion").Lion([weight], learning_rate=0.125, beta1=0.5, beta2=0.75, weight_decay=0.25)

    def step(x):
        optimiser.zero_grad()
        (x @ weight).sum().backward()
        optimiser.step()
        return weight.sum()

    run = capture(step) if how == "captured" else step
    for x in inputs:
        run(Tensor(x, dtype=dtype))
    gradients = [np.repeat(x.sum(axis=0)[:, None], 3, axis=1) for x in inputs]
    expected, momentum = lion(start, gradients, 0.125, 0.5, 0.75, 0.25)
    assert close(weight.numpy(), expected, dtype)
    assert close(optimiser.state["momentum.0"].numpy(), momentum, dtype)


def test_lion_moves_nothing_where_nothing_pulls(example, dtype):
    weight = Tensor([[1.0, 2.0]], requires_grad=True, dtype=dtype)
    optimiser = example("lion").Lion([weight], learning_rate=0.5)
    (weight * Tensor([[0.0, 3.0]], dtype=dtype)).sum().backward()
    optimiser.step()
    assert weight.tolist() == [[1.0, 1.5]]


def test_residual(example, dtype):
    with use_stream(RandomStream(0, "model")):
        block = example("residual").Residual(6, hidden=5)
    block.to(dtype=dtype)
    x = drawn(4, 6)
    first, second = (block.branch[i].weight.numpy().astype("float64") for i in (1, 3))
    normal = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    expected = x + np.maximum(normal @ first, 0) @ second
    assert close(block(Tensor(x, dtype=dtype)).numpy(), expected, dtype)
    assert (block.outputs(6), len(block.parameters())) == (6, 6)


def test_residual_is_drawn_from_the_seed(example, backend):
    residual = example("residual").Residual
    for seed, same in ((0, True), (1, False)):
        with use_stream(RandomStream(0, "model")):
            one = residual(6)
        with use_stream(RandomStream(seed, "model")):
            other = nn.Sequential(residual(6))[0]
        assert np.array_equal(one.branch[1].weight.numpy(), other.branch[1].weight.numpy()) == same


def test_spirals(example):
    data = example("spirals").spirals(samples=90, arms=3, turns=1.5, noise=0.0, seed=4)
    radius = np.hypot(*data.features.T)
    assert (len(data), data.inputs, data.classes, np.bincount(data.targets).tolist()) == (90, 2, 3, [30, 30, 30])
    assert radius.max() <= 1
    turned = np.arctan2(*data.features.T[::-1]) / (2 * np.pi) - 1.5 * radius - data.targets / 3
    assert np.abs(turned - np.round(turned)).max() < 1e-5


def test_spirals_are_those_of_their_seed(example):
    spirals = example("spirals").spirals
    one, same, other = (spirals(samples=50, noise=0.1, seed=seed) for seed in (1, 1, 2))
    clean = spirals(samples=50, noise=0.0, seed=1)
    assert np.array_equal(one.features, same.features)
    assert not np.array_equal(one.features, other.features)
    assert 0.05 < (one.features - clean.features).std() < 0.2


@pytest.mark.parametrize("sizes", [(9, 7, 5, 3), (64, 64, 32, 10)])
def test_the_contestant_trains_the_same_network(example, sizes):
    contestant = example("sklearn_contestant").mlp_classifier
    assert objection(contestant(Problem.drawn(sizes, 8)), reference_losses(Problem.drawn(sizes, 8))) is None
