"""Optimisers against plain formulas, schedules, clipping."""

import math

import numpy as np
import pytest

from pycrograd_core import Tensor, nn, optim
from pycrograd_core.errors import CheckpointError, GradientError, OptionError
from pycrograd_core.optim import schedules

STEPS, CHANGE = 20, 10  # the learning rate changes before step CHANGE
RATES = [0.1] * CHANGE + [0.03] * (STEPS - CHANGE)


def sgd(w, gradients, momentum=0.0, nesterov=False, weight_decay=0.0, decoupled=False):
    v = 0.0
    for g, rate in zip(gradients, RATES, strict=True):
        if decoupled:
            w = w - rate * weight_decay * w
        else:
            g = g + weight_decay * w
        v = momentum * v + g
        w = w - rate * (g + momentum * v if nesterov else v)
    return w


def adam(w, gradients, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, decoupled=False):
    m = s = 0.0
    for t, (g, rate) in enumerate(zip(gradients, RATES, strict=True), start=1):
        if decoupled:
            w = w - rate * weight_decay * w
        else:
            g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        w = w - rate * (m / (1 - beta1**t)) / (np.sqrt(s / (1 - beta2**t)) + epsilon)
    return w


def adamw(w, gradients, weight_decay=0.01, **options):
    return adam(w, gradients, weight_decay=weight_decay, decoupled=True, **options)


OPTIMISERS = [
    (optim.SGD, sgd, {}),
    (optim.SGD, sgd, {"momentum": 0.9}),
    (optim.SGD, sgd, {"momentum": 0.9, "nesterov": True}),
    (optim.SGD, sgd, {"weight_decay": 0.3}),
    (optim.SGD, sgd, {"weight_decay": 0.3, "decoupled": True}),
    (optim.SGD, sgd, {"momentum": 0.5, "weight_decay": 0.3}),
    (optim.SGD, sgd, {"momentum": 0.5, "nesterov": True, "weight_decay": 0.3, "decoupled": True}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"beta1": 0.5, "beta2": 0.8, "epsilon": 0.1}),
    (optim.Adam, adam, {"beta1": 0.0, "beta2": 0.9}),
    (optim.Adam, adam, {"weight_decay": 0.3}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"weight_decay": 0.3, "beta1": 0.5}),
]
every_optimiser = pytest.mark.parametrize(
    ("factory", "formula", "options"),
    [pytest.param(*each, id="-".join([each[0].__name__, *each[2]])) for each in OPTIMISERS],
)
SHAPES = [(3, 2), (1, 2)]


def drawn(number):
    """Starting weights and, for each parameter, a gradient for each step: float32 numbers."""
    numbers = np.random.default_rng(number)
    weights = [numbers.normal(size=shape).astype("float32").astype("float64") for shape in SHAPES]
    slopes = [numbers.normal(size=(STEPS, *shape)).astype("float32").astype("float64") for shape in SHAPES]
    return weights, slopes


def walk(optimiser, slopes, steps):
    for step in steps:
        optimiser.learning_rate = RATES[step]
        for parameter, slope in zip(optimiser.parameters, slopes, strict=True):
            parameter.grad = parameter.like(slope[step])
        optimiser.step()


@every_optimiser
def test_twenty_steps(factory, formula, options, leaf, dtype):
    weights, slopes = drawn(1)
    parameters = [leaf(w) for w in weights]
    values = [p.value for p in parameters]
    optimiser = factory((p for p in parameters), learning_rate=RATES[0], **options)
    walk(optimiser, slopes, range(STEPS))
    for parameter, value, w, slope in zip(parameters, values, weights, slopes, strict=True):
        rtol = 2e-5 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(parameter.numpy(), formula(w, slope, **options), rtol=rtol, atol=rtol)
        assert parameter.value is value, "written in place"
        assert np.array_equal(parameter.grad.numpy(), slope[-1]), "the gradient is only read"


@every_optimiser
def test_a_state_goes_on_where_it_was_saved(factory, formula, options, leaf):
    weights, slopes = drawn(2)
    whole, half = ([leaf(w) for w in weights] for _ in range(2))
    walk(factory(whole, learning_rate=RATES[0], **options), slopes, range(STEPS))
    first = factory(half, learning_rate=RATES[0], **options)
    walk(first, slopes, range(12))
    state = first.state_dict()
    copies = [leaf(p.numpy()) for p in half]
    second = factory(copies, learning_rate=1.0, **options)
    second.load_state_dict(state)
    walk(first, slopes, [0])
    walk(second, slopes, range(12, STEPS))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(whole, copies, strict=True))


def test_a_state_of_another_model(leaf):
    optimiser = optim.SGD([leaf([[1.0, 2.0]])], momentum=0.9)
    for name, shape in (("velocity.0", (2, 1)), ("velocity.1", (1, 2))):
        with pytest.raises(CheckpointError, match=f"the state {name} is"):
            optimiser.load_state_dict({name: np.zeros(shape)})
    with pytest.raises(CheckpointError, match=r"the state mean\.0 is not one of SGD"):
        optimiser.load_state_dict({"velocity.0": np.ones((1, 2)), "mean.0": np.zeros((1, 2))})
    assert optimiser.state_dict() == {}


def test_each_parameter_has_steps_of_its_own(leaf, dtype):
    """Adam corrects the start at 0 of each parameter's moments from its own first gradient on."""
    early, late = leaf([[1.0]]), leaf([[1.0]])
    optimiser = optim.Adam([early, late], learning_rate=0.1)
    for step in range(5):
        early.grad = early.like([[0.5]])
        late.grad = late.like([[0.5]]) if step == 4 else None
        optimiser.step()
    assert late.item() == pytest.approx(0.9, rel=1e-6)
    assert early.item() == pytest.approx(0.5, rel=1e-5)


def test_default_learning_rates(leaf):
    rates = {name: factory([leaf([[1.0]])]).learning_rate for name, factory in optim.optimisers.items()}
    assert rates == {"sgd": 0.01, "adam": 0.001, "adamw": 0.001}


def test_parameters_without_gradients_stay(leaf):
    moved, frozen = leaf([[1.0]]), leaf([[1.0]])
    optimiser = optim.SGD([moved, frozen], learning_rate=0.5, momentum=0.9, weight_decay=0.1)
    moved.grad = moved.like([[1.0]])
    optimiser.step()
    assert moved.item() < 0.5
    assert frozen.item() == 1.0
    optimiser.zero_grad()
    assert moved.grad is None


def test_what_cannot_be_optimised(leaf):
    x = leaf([[1.0]])
    for parameters, message in (
        ([], "at least one parameter"),
        ([x, x.detach()], "parameter 1 is not a leaf that requires a gradient"),
        ([x * 2.0], "parameter 0 is not a leaf"),
        ([x, x], "given twice"),
    ):
        with pytest.raises(GradientError, match=message):
            optim.SGD(parameters)
    with pytest.raises(ValueError, match="nesterov needs a momentum above 0"):
        optim.SGD([x], nesterov=True)
    for factory in optim.optimisers.values():
        with pytest.raises(OptionError, match=r"learning_rate must be greater than 0, not -0\.1"):
            factory([x], learning_rate=-0.1)


def test_the_learning_rate_may_change_at_any_time(leaf):
    x = leaf([[1.0]])
    optimiser = optim.SGD([x], learning_rate=0.5)
    for rate, expected in ((0.5, 0.5), (0.25, 0.25), (0.0, 0.25), (1.0, -0.75)):
        optimiser.learning_rate = rate
        assert optimiser.learning_rate == rate
        x.grad = x.like([[1.0]])
        optimiser.step()
        assert x.item() == expected


def test_training_a_network_is_what_it_is_on_paper(dtype):
    """A network with one hidden layer, cross-entropy, momentum: 15 steps against gradients derived by hand."""
    numbers = np.random.default_rng(0)
    x, labels = numbers.normal(size=(6, 3)).astype("float32").astype("float64"), numbers.integers(0, 3, 6)
    model = nn.mlp(3, 3, sizes=(4,), activation="tanh").to(dtype=dtype)
    w1, b1, w2, b2 = weights = [p.numpy().astype("float64") for p in model.parameters()]
    optimiser, velocity = optim.SGD(model.parameters(), learning_rate=0.5, momentum=0.9), [0.0] * 4
    batch, targets = Tensor(x, dtype=dtype), Tensor(labels.astype("int32"), dtype="int32")
    losses = []
    for _ in range(15):
        loss = nn.cross_entropy(model(batch), targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        hidden = np.tanh(x @ w1 + b1)
        e = np.exp(hidden @ w2 + b2)
        shares = e / e.sum(axis=1, keepdims=True)
        on_paper = -np.log(shares[range(6), labels]).mean()
        by_logits = (shares - np.eye(3)[labels]) / 6
        by_hidden = by_logits @ w2.T * (1 - hidden**2)
        slopes = x.T @ by_hidden, by_hidden.sum(axis=0), hidden.T @ by_logits, by_logits.sum(axis=0)
        velocity = [0.9 * v + slope for v, slope in zip(velocity, slopes, strict=True)]
        w1, b1, w2, b2 = weights = [w - 0.5 * v for w, v in zip(weights, velocity, strict=True)]
        assert loss.item() == pytest.approx(on_paper, rel=2e-5 if dtype == "float32" else 1e-11)
        losses.append(on_paper)
    assert losses[-1] < losses[0] / 3
    for parameter, w in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.numpy(), w, atol=2e-4 if dtype == "float32" else 1e-10)


# Schedules: of a run of 100 steps ----------------------------------------------------------------------------------

SCHEDULES = {
    "constant": [
        ({}, {0: 1.0, 50: 1.0, 99: 1.0, 200: 1.0}),
        ({"warmup": 0.1}, {0: 1 / 11, 4: 5 / 11, 9: 10 / 11, 10: 1.0, 99: 1.0}),
    ],
    "linear": [
        ({}, {0: 1.0, 25: 0.75, 50: 0.5, 99: 0.01, 100: 0.0, 200: 0.0}),
        ({"final": 0.2}, {0: 1.0, 50: 0.6, 100: 0.2, 200: 0.2}),
        ({"final": 0.2, "warmup": 0.2}, {0: 1 / 21, 19: 20 / 21, 20: 1.0, 60: 0.6, 100: 0.2}),
    ],
    "cosine": [
        ({}, {0: 1.0, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 100: 0.0, 200: 0.0}),
        ({"final": 0.2}, {0: 1.0, 50: 0.6, 100: 0.2}),
        ({"warmup": 0.5}, {0: 1 / 51, 49: 50 / 51, 50: 1.0, 75: 0.5, 100: 0.0}),
    ],
    "step": [
        ({"every": 0.25, "factor": 0.5}, {0: 1.0, 24: 1.0, 25: 0.5, 49: 0.5, 50: 0.25, 75: 0.125, 99: 0.125}),
        ({}, {0: 1.0, 29: 1.0, 30: 0.1, 60: 0.01, 90: 0.001, 99: 0.001}),
        ({"every": 0.5, "factor": 0.5, "warmup": 0.2}, {0: 1 / 21, 20: 1.0, 59: 1.0, 60: 0.5, 99: 0.5}),
    ],
}  # fmt: skip


def test_every_schedule_is_tested():
    assert SCHEDULES.keys() == set(schedules)


@pytest.mark.parametrize(
    ("name", "options", "factors"), [(name, *case) for name, cases in SCHEDULES.items() for case in cases]
)
def test_schedules(name, options, factors):
    schedule = schedules[name](100, **options)
    assert {step: schedule(step) for step in factors} == pytest.approx(factors, abs=1e-12)
    assert all(0.0 < schedules[name](steps, **options)(0) <= 1.0 for steps in (1, 2, 3))


# Clipping ----------------------------------------------------------------------------------------------------------


def with_gradients(leaf, *slopes):
    parameters = [leaf(np.zeros(np.shape(slope))) for slope in slopes]
    for parameter, slope in zip(parameters, slopes, strict=True):
        parameter.grad = parameter.like(slope)
    return parameters


def test_clip_grad_norm_scales_all_gradients_together(leaf, dtype):
    parameters = [*with_gradients(leaf, [[3.0, 0.0]], [[0.0], [4.0]]), leaf([[1.0]])]
    norm = optim.clip_grad_norm((p for p in parameters), 2.5)
    assert (norm.item(), norm.dtype, norm.requires_grad) == (5.0, dtype, False)
    np.testing.assert_allclose(parameters[0].grad.numpy(), [[1.5, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(parameters[1].grad.numpy(), [[0.0], [2.0]], rtol=1e-6)
    assert parameters[2].grad is None


@pytest.mark.parametrize("slope", [[[3.0, 4.0]], [[0.0, 0.0]]])
def test_clip_grad_norm_leaves_small_gradients(slope, leaf):
    parameters = with_gradients(leaf, slope)
    optim.clip_grad_norm(parameters, 5.000001)
    assert parameters[0].grad.tolist() == slope


def test_what_cannot_be_clipped(leaf):
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(GradientError, match="max_norm must be above 0"):
            optim.clip_grad_norm(with_gradients(leaf, [[1.0]]), limit)
    with pytest.raises(GradientError, match="no gradients to clip"):
        optim.clip_grad_norm([leaf([[1.0]])], 1.0)
