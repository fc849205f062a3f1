"""What is saved of a module and of an optimiser, what is refused, and limits that hold in Python too."""

import numpy as np
import pytest

from pycrograd_core import RandomStream, Tensor, nn, no_grad, optim
from pycrograd_core.errors import CheckpointError, GradientError, OptionError


class Nested(nn.Module):
    """Parts in every kind of container, a cached activation, and a way back to the parent."""

    def __init__(self):
        self.table = {"in": nn.Linear(2, 3), "more": [nn.Linear(3, 3), {"out": nn.Linear(3, 1)}]}
        self.parent = self
        self.mean = Tensor([[0.0, 0.0]])
        self.keep("mean")

    def forward(self, x, shift):
        self.hidden = self.table["in"](x - self.mean)
        return self.table["more"][1]["out"](self.table["more"][0](self.hidden)) + shift


NAMES = ["table.in", "table.more.0", "table.more.1.out"]


def test_parts_are_found_wherever_they_are(backend):
    model = Nested()
    model(Tensor([[1.0, 2.0]]), Tensor(1.0)).backward()
    parameters = [f"{name}.{part}" for name in NAMES for part in ("weight", "bias")]
    assert [name for name, _ in model.named_parameters()] == parameters
    assert sorted(model.state_dict()) == sorted([*parameters, "mean"])
    model.load_state_dict(model.state_dict())
    assert all(p.grad is not None for p in model.parameters())


def test_frozen_parameters_stay_in_the_state(backend):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    before = sorted(model.state_dict())
    model[0].weight.requires_grad = False
    assert sorted(model.state_dict()) == before
    assert [name for name, _ in model.named_parameters()] == ["0.bias", "1.weight", "1.bias"]


def test_what_a_subclass_of_sequential_adds_is_found(backend):
    class Scaled(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(2, 2))
            self.scale = Tensor(1.0, requires_grad=True)

    assert [name for name, _ in Scaled().named_parameters()] == ["scale", "0.weight", "0.bias"]


def test_moving_leaves_indices_alone(exact):
    class Lookup(nn.Module):
        def __init__(self):
            self.embedding = nn.Embedding(3, 2)
            self.rows = Tensor([2, 0], dtype="int32")

        def forward(self):
            return self.embedding(self.rows)

    lookup = Lookup().to(dtype="float64")
    assert (lookup.rows.dtype, lookup().dtype) == ("int32", "float64")


@pytest.mark.parametrize("wrong", [np.zeros((2, 1)), np.zeros((1, 2), "int32"), np.array([["a", "b"]])])
def test_a_state_that_does_not_fit_changes_nothing(wrong, backend):
    layer = nn.Linear(2, 2)
    before = layer.state_dict()
    with pytest.raises(CheckpointError):
        layer.load_state_dict({"weight": before["weight"] + 1, "bias": wrong})
    assert np.array_equal(layer.weight.numpy(), before["weight"])


# Optimisers ----------------------------------------------------------------------------------------------------------


def stepped(optimiser, *slopes):
    for slope in slopes:
        for parameter in optimiser.parameters:
            parameter.grad = None if slope is None else parameter.new_full(*parameter.shape, slope)
        optimiser.step()
    return [p.item() for p in optimiser.parameters]


@pytest.mark.parametrize("factory", [optim.Adam, optim.AdamW])
def test_a_parameter_that_starts_late_takes_a_first_step(factory, leaf):
    """The bias correction counts a parameter's own steps."""
    early, late = leaf(1.0), leaf(1.0)
    optimiser = factory([early, late], learning_rate=0.01)
    for _ in range(50):
        early.grad = early.new_full(1, 1, 1.0)
        optimiser.step()
    before = late.item()
    early.grad, late.grad = None, late.new_full(1, 1, 1.0)
    optimiser.step()
    decay = 0.01 * optimiser.weight_decay * before if optimiser.decoupled else 0.0
    assert late.item() == pytest.approx(before - 0.01 - decay, rel=1e-5)


def test_a_step_without_any_gradient_is_refused(leaf):
    with pytest.raises(GradientError, match="no parameter has a gradient"):
        optim.SGD([leaf(1.0)]).step()


def test_a_parameter_is_given_once(leaf):
    w = leaf(1.0)
    with pytest.raises(GradientError, match="given twice"):
        optim.SGD([w, w])


def test_the_state_of_another_kind_of_optimiser(leaf):
    adam = optim.Adam([leaf(1.0)])
    stepped(adam, 1.0)
    with pytest.raises(CheckpointError, match="is not one of SGD"):
        optim.SGD([leaf(1.0)], momentum=0.9).load_state_dict(adam.state_dict())
    adam.load_state_dict({})
    assert adam.state == {}


def test_clipping_survives_squares_that_overflow(leaf):
    a, b = leaf(0.0), leaf(0.0)
    a.grad, b.grad = a.new_full(1, 1, 3e19), b.new_full(1, 1, 4e19)
    assert optim.clip_grad_norm([a, b], 1.0).item() == pytest.approx(5e19, rel=1e-6)
    assert (a.grad.item(), b.grad.item()) == (pytest.approx(0.6, rel=1e-6), pytest.approx(0.8, rel=1e-6))
    a.grad = b.grad = a.new_full(1, 1, 0.0)
    assert optim.clip_grad_norm([a, b], 1.0).item() == pytest.approx(0.0, abs=1e-20)
    assert a.grad.item() == 0.0


def test_training_through_an_update(leaf):
    """Updates are ops like all others: a step of training can be differentiated."""
    from pycrograd_core import grad, ops

    w, rate = leaf(2.0), leaf(0.1)
    (slope,) = grad(w * w, [w], create_graph=True)
    (by_rate,) = grad(ops.sgd_update(w, slope, rate), [rate])
    assert by_rate.item() == -4.0


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: optim.SGD(p, learning_rate=-0.1), "SGD: learning_rate must be greater than 0, not -0.1"),
        (lambda p: optim.SGD(p, momentum=1.5), "SGD: momentum must be less than 1, not 1.5"),
        (lambda p: optim.Adam(p, beta2=1.0), "Adam: beta2 must be less than 1"),
        (lambda p: optim.AdamW(p, weight_decay=-1), "AdamW: weight_decay must be at least 0"),
        (lambda p: nn.Dropout(1.0), "Dropout: rate must be less than 1"),
        (lambda p: nn.Dropout(-0.5), "Dropout: rate must be at least 0"),
        (lambda p: nn.Linear(-1, 2), "Linear: in_features must be greater than 0, not -1"),
        (lambda p: nn.Linear(1, 2, initialiser="foo"), "Linear: initialiser must be 'kaiming_uniform' or "),
        (lambda p: nn.LayerNorm(0), "LayerNorm: in_features must be greater than 0"),
    ],
)
def test_limits_hold_in_python_too(make, message, leaf):
    with pytest.raises(OptionError) as caught:
        make([leaf(1.0)])
    assert message in str(caught.value)


def test_masks_are_unlike_the_weights_of_the_same_stream(backend):
    weights = nn.Linear(8, 8, stream=RandomStream(7).spawn()).weight.numpy()
    with no_grad():
        kept = nn.Dropout(0.5, stream=RandomStream(7))(Tensor(np.ones((8, 8)))).numpy() > 0
    assert 8 < np.sum(kept == (weights >= 0)) < 56
