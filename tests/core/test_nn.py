"""Modules, layers, initialisers."""

import math

import numpy as np
import pytest

import pycrograd_core
from places import BACKENDS
from pycrograd_core import RandomStream, Tensor, nn, no_grad, ops, use_backend
from pycrograd_core.conformance.reference import REFERENCE
from pycrograd_core.errors import CheckpointError, IndexRangeError, OptionError, ShapeError
from pycrograd_core.nn.init import INITIALISERS


def grid(rows, cols):
    return np.linspace(-1.0, 1.0, rows * cols).reshape(rows, cols)


# Initialisers ------------------------------------------------------------------------------------------------------

DEVIATIONS = {
    "kaiming_uniform": lambda inputs, outputs: math.sqrt(2 / inputs),
    "kaiming_normal": lambda inputs, outputs: math.sqrt(2 / inputs),
    "xavier_uniform": lambda inputs, outputs: math.sqrt(2 / (inputs + outputs)),
    "xavier_normal": lambda inputs, outputs: math.sqrt(2 / (inputs + outputs)),
}


@pytest.mark.parametrize("name", INITIALISERS)
@pytest.mark.parametrize(("inputs", "outputs"), [(400, 100), (100, 400)])
def test_initialisers(name, inputs, outputs):
    """40,000 numbers: the deviation is known to 0.5 %, the mean to 0.5 % of a deviation."""
    weights, deviation = INITIALISERS[name](RandomStream(0), inputs, outputs), DEVIATIONS[name](inputs, outputs)
    assert (weights.shape, weights.dtype) == ((inputs, outputs), np.float32)
    assert weights.std() == pytest.approx(deviation, rel=0.015)
    assert abs(weights.mean()) < 0.015 * deviation
    greatest = np.abs(weights).max() / deviation
    assert 0.999 * math.sqrt(3) < greatest <= 1.000001 * math.sqrt(3) if "uniform" in name else 3.5 < greatest < 6
    within = np.mean(np.abs(weights) < deviation)
    assert within == pytest.approx(1 / math.sqrt(3) if "uniform" in name else 0.6827, abs=0.01)
    assert abs(np.corrcoef(weights[:-1].ravel(), weights[1:].ravel())[0, 1]) < 0.02, "rows are independent"


@pytest.mark.parametrize("draw", [nn.kaiming_uniform, nn.kaiming_normal])
def test_kaiming_by_fan_out(draw):
    assert draw(RandomStream(0), 400, 100, "fan_out").std() == pytest.approx(math.sqrt(2 / 100), rel=0.015)


def model():
    return nn.Sequential(
        nn.Linear(3, 4), nn.Dropout(0.5), nn.Embedding(5, 2), nn.Linear(4, 2, initialiser="xavier_normal")
    )


def test_a_seed_means_the_same_bits_on_every_backend():
    def start(name, seed):
        pycrograd_core.seed(seed)
        with use_backend(name):
            return [value.tobytes() for value in model().state_dict().values()]

    assert len({tuple(start(name, 7)) for name in BACKENDS}) == 1
    assert start(BACKENDS[0], 7) != start(BACKENDS[0], 8)


def test_modules_draw_from_streams_of_their_own(backend):
    """A weight depends on its stream alone: not on what other modules draw, nor on how much."""
    pycrograd_core.seed(1)
    nn.Linear(3, 4)
    second = nn.Linear(3, 4).weight.tolist()
    pycrograd_core.seed(1)
    first = nn.Linear(300, 4)
    assert nn.Linear(3, 4).weight.tolist() == second != first.weight.tolist()[:3]
    named = [nn.Linear(3, 4, stream=RandomStream(5, "layer")).weight.tolist() for _ in range(2)]
    assert named[0] == named[1]


# Names, tied parameters, states ------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self, shared):
        self.first = nn.Linear(2, 2)
        self.rest = [nn.Linear(2, 2, bias=False), (nn.ReLU())]
        self.scales = (Tensor([[1.0, 1.0]], requires_grad=True), Tensor([[2.0, 2.0]]))
        self.shared = shared
        self.mean = Tensor([[0.0, 0.0]])
        self.size = 2

    def forward(self, x):
        for layer in (self.first, *self.rest):
            x = layer(x)
        return (x * self.scales[0] + self.mean) @ self.shared


class Pair(nn.Module):
    def __init__(self):
        shared = Tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
        self.left, self.right = Block(shared), Block(shared)
        self.blocks = nn.Sequential(self.right, nn.LayerNorm(2))

    def forward(self, x):
        return self.blocks(self.left(x))


NAMES = ["first.weight", "first.bias", "rest.0.weight", "scales.0", "shared"]
PAIR = [
    "left.scales.0", "left.shared", "left.first.weight", "left.first.bias", "left.rest.0.weight",
    "right.scales.0", "right.first.weight", "right.first.bias", "right.rest.0.weight",
    "blocks.1.weight", "blocks.1.bias",
]  # fmt: skip
STATE = [*PAIR[:1], "left.scales.1", *PAIR[1:6], "right.scales.1", *PAIR[6:]]  # also what is frozen


def test_names_of_nested_listed_and_tied_parameters(backend):
    """A parameter comes once, under its first name; what requires no gradient is none."""
    pair = Pair()
    assert [name for name, _ in pair.named_parameters()] == PAIR
    assert len(pair.parameters()) == len({id(p) for p in pair.parameters()}) == len(PAIR)
    assert dict(pair.named_parameters())["left.shared"] is pair.right.shared
    names = [name for name, _ in pair.named_modules()]
    assert names[:6] == ["", "left", "left.first", "left.rest.0", "left.rest.1", "right"]


def test_a_tied_parameter_gets_the_gradients_of_all_its_uses(dtype):
    def slopes(tied):
        first, second = (nn.Linear(2, 2, bias=False, stream=RandomStream(1)) for _ in range(2))
        if tied:
            second.weight = first.weight
        model = nn.Sequential(first, nn.Tanh(), second).to(dtype=dtype)
        model(Tensor(grid(3, 2), dtype=dtype)).backward(grid(3, 2))
        return [p.grad.numpy() for p in model.parameters()]

    (both,), (first, second) = slopes(tied=True), slopes(tied=False)
    np.testing.assert_allclose(both, first + second, rtol=1e-5)
    assert np.abs(first).min() > 0.01
    assert np.abs(second).min() > 0.01


def test_states_round_trip(dtype):
    source, target = (Pair().to(dtype=dtype) for _ in range(2))
    state = source.state_dict()
    assert list(state) == STATE
    target.load_state_dict(state)
    x = Tensor(grid(3, 2), dtype=dtype)
    assert np.array_equal(source(x).numpy(), target(x).numpy())
    state["left.scales.0"][:] = 7.0
    assert source.left.scales[0].tolist() == [[1.0, 1.0]], "the state is a copy"
    assert target.left.scales[0].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("left.shared"), r"missing \['left.shared'\], unknown \[\]"),
        (lambda state: state.update(more=np.zeros((1, 1))), r"missing \[\], unknown \['more'\]"),
        (
            lambda state: state.update({"blocks.1.bias": np.zeros((2, 1))}),
            r"blocks.1.bias is \(1, 2\) in the model and \(2, 1\)",
        ),
    ],
)
def test_a_state_of_another_model_changes_nothing(change, message, backend):
    pair = Pair()
    before, state = pair.state_dict(), {name: values + 1 for name, values in pair.state_dict().items()}
    change(state)
    with pytest.raises(CheckpointError, match=message):
        pair.load_state_dict(state)
    assert all(np.array_equal(before[name], values) for name, values in pair.state_dict().items())


def test_zero_grad(backend):
    pair = Pair()
    pair(Tensor(grid(3, 2))).sum().backward()
    assert all(p.grad is not None for p in pair.parameters())
    pair.zero_grad()
    assert all(p.grad is None for p in pair.parameters())


def test_to_moves_every_tensor_once(exact):
    """Also those in lists, and those of a module that is used twice: what was tied stays tied."""
    pair = Pair()
    before = pair.state_dict()
    assert pair.to(dtype="float64") is pair
    assert pair.left.shared is pair.right.shared
    tensors = [*pair.parameters(), pair.left.mean, pair.right.scales[1]]
    assert {tensor.dtype for tensor in tensors} == {"float64"}
    assert all(np.array_equal(before[name], values) for name, values in pair.state_dict().items())
    assert (pair.left.scales[0].requires_grad, pair.left.scales[1].requires_grad) == (True, False)
    assert pair(Tensor(grid(3, 2), dtype="float64")).dtype == "float64"
    layer = nn.Linear(2, 2)
    layer.bias.detach().assign([[5.0, 6.0]])
    nn.Sequential(layer, layer, nn.Linear(2, 2)).to(dtype="float64")
    assert layer.bias.tolist() == [[5.0, 6.0]]


class Shelf(nn.Module):
    """Keeps its parts in a dictionary, in a list that grows, and as a tensor of row numbers."""

    def __init__(self):
        self.heads = {"a": nn.Linear(2, 1, bias=False), "b": [Tensor([[1.0]], requires_grad=True)]}
        self.grown = []
        self.grown += [Tensor([[2.0]], requires_grad=True), nn.LayerNorm(2)]
        self.order = Tensor([1, 0], dtype="int32")
        self.keep("order")
        self.loose = Tensor([[3.0]])


def test_what_a_module_keeps(exact):
    """Parts in dictionaries and in lists that grow; parameters that are frozen later; what it is told to keep."""
    shelf = Shelf()
    parameters = ["heads.b.0", "grown.0", "heads.a.weight", "grown.1.weight", "grown.1.bias"]
    assert [name for name, _ in shelf.named_parameters()] == parameters
    assert list(shelf.state_dict()) == [*parameters[:2], "order", *parameters[2:]]
    shelf.heads["b"][0].requires_grad = False
    assert [name for name, _ in shelf.named_parameters()] == parameters[1:]
    assert "heads.b.0" in shelf.state_dict()
    shelf.to(dtype="float64")
    assert {name: values.dtype for name, values in shelf.state_dict().items()}["order"] == "int32"
    assert (shelf.heads["b"][0].dtype, shelf.loose.dtype, shelf.order.tolist()) == ("float64", "float64", [[1], [0]])
    with pytest.raises(CheckpointError, match="order is int32 in the model and float64 in the state"):
        shelf.load_state_dict(shelf.state_dict() | {"order": np.array([[0.0], [1.0]])})


@pytest.mark.parametrize("name", BACKENDS)
def test_to_another_backend(name, backend):
    layer = nn.Linear(2, 2)
    weight = layer.weight.tolist()
    assert layer.to(backend=name).weight.backend == name
    assert layer.weight.tolist() == weight


def test_training_and_evaluation_reach_every_module(backend):
    pair = Pair()
    assert pair.eval() is pair
    assert not any(module.training for _, module in pair.named_modules())
    pair.train()
    assert all(module.training for _, module in pair.named_modules())


# Layers ------------------------------------------------------------------------------------------------------------


def test_linear(dtype):
    x, layer, plain = grid(4, 3), nn.Linear(3, 2), nn.Linear(3, 2, bias=False)
    assert layer.bias.tolist() == [[0.0, 0.0]]
    layer.bias.detach().assign([[1.0, -1.0]])
    for each, bias in ((layer, [[1.0, -1.0]]), (plain, [[0.0, 0.0]])):
        y = each.to(dtype=dtype)(Tensor(x, dtype=dtype))
        np.testing.assert_allclose(y.numpy(), x @ each.weight.numpy() + bias, atol=1e-6)
        assert each.outputs(3) == 2
    assert [name for name, _ in plain.named_parameters()] == ["weight"]
    assert (repr(layer), repr(plain)) == ("Linear(3 → 2)", "Linear(3 → 2, no bias)")


@pytest.mark.parametrize(
    ("layer", "name"),
    [(nn.ReLU, "relu"), (nn.Tanh, "tanh"), (nn.Sigmoid, "sigmoid"), (nn.GELU, "gelu"), (nn.Softmax, "softmax")],
)
def test_activations(layer, name, dtype):
    x = grid(4, 3) * 3
    np.testing.assert_allclose(layer()(Tensor(x, dtype=dtype)).numpy(), REFERENCE[name](x), atol=1e-6)
    assert layer().outputs(3) == 3


def test_layer_norm(dtype):
    layer, x = nn.LayerNorm(5, epsilon=1e-12).to(dtype=dtype), grid(4, 5) ** 3 + 7
    y = layer(Tensor(x, dtype=dtype)).numpy()
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(y.std(axis=1), 1, rtol=1e-3)
    layer.weight.detach().assign(grid(1, 5))
    layer.bias.detach().assign(grid(1, 5) + 3)
    np.testing.assert_allclose(layer(Tensor(x, dtype=dtype)).numpy(), y * grid(1, 5) + grid(1, 5) + 3, atol=1e-5)


def test_embedding(backend):
    layer = nn.Embedding(4, 3)
    rows = layer.weight.numpy()
    y = layer([2, 0, 2])
    assert np.array_equal(y.numpy(), rows[[2, 0, 2]])
    y.sum().backward()
    assert layer.weight.grad.numpy().sum(axis=1).tolist() == [3.0, 0.0, 6.0, 0.0]
    assert (layer.outputs(1), repr(layer)) == (3, "Embedding(4 × 3)")
    with pytest.raises(IndexRangeError, match="index 4 at position 1 is outside 0 … 3"):
        layer([0, 4])
    assert nn.Embedding(200, 200).weight.numpy().std() == pytest.approx(1.0, rel=0.02)


def test_dropout_keeps_a_share_and_the_expectation(backend):
    layer, x = nn.Dropout(0.3, stream=RandomStream(3)), Tensor(np.ones((200, 100)), requires_grad=True)
    y = layer(x)
    values = y.numpy()
    np.testing.assert_allclose(np.unique(values), [0.0, 1 / 0.7], rtol=1e-6)
    assert np.mean(values != 0) == pytest.approx(0.7, abs=0.01)
    assert values.mean() == pytest.approx(1.0, abs=0.015)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), values), "what was dropped has no gradient"
    again = layer(x).numpy()
    assert np.mean((again != 0) == (values != 0)) == pytest.approx(0.7**2 + 0.3**2, abs=0.02), "each draw is another"


def test_dropout_does_nothing_in_evaluation_or_at_rate_0(leaf):
    x = leaf(grid(3, 3))
    assert nn.Dropout(0.9).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x


def test_dropout_draws_the_same_on_every_backend():
    def masks(name):
        with use_backend(name):
            layer = nn.Dropout(0.5, stream=RandomStream(0, "dropout"))
            return b"".join(layer(Tensor(np.ones((9, 9)))).numpy().tobytes() for _ in range(3))

    assert len({masks(name) for name in BACKENDS}) == 1


# Models ------------------------------------------------------------------------------------------------------------


def test_sequential(backend):
    layers = [nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)]
    whole, x = nn.Sequential(*layers), Tensor(grid(5, 3))
    assert np.array_equal(whole(x).numpy(), layers[2](layers[1](layers[0](x))).numpy())
    assert (len(whole), whole[2], list(whole), whole.outputs(3)) == (3, layers[2], layers, 2)
    assert repr(whole) == "Sequential(\n  0: Linear(3 → 4)\n  1: ReLU()\n  2: Linear(4 → 2)\n)"
    assert [name for name, _ in whole.named_parameters()] == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize(
    ("name", "layer"), {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}.items()
)
def test_mlp(name, layer, backend):
    model = nn.mlp(6, 2, sizes=(5, 4), activation=name)
    assert [type(each) for each in model] == [nn.Linear, layer, nn.Linear, layer, nn.Linear]
    assert [p.shape for p in model.parameters()] == [(6, 5), (1, 5), (5, 4), (1, 4), (4, 2), (1, 2)]
    assert len(nn.mlp(6, 2, sizes=())) == 1


def test_a_shape_error_names_the_layer(backend):
    inner = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ShapeError) as caught:
        nn.Sequential(nn.Linear(3, 5), inner)(Tensor(grid(2, 3)))
    assert caught.value.layer == "1: 1: Linear(4 → 2)"
    assert str(caught.value).startswith("linear(2×5, 4×2, 1×2): ")
    assert str(caught.value).endswith("(in layer 1: 1: Linear(4 → 2))")
    with pytest.raises(ShapeError, match=r"\(in layer LayerNorm\(3\)\)"):
        nn.LayerNorm(3)(Tensor(grid(2, 4)))
    with pytest.raises(ShapeError) as outside:
        ops.add(Tensor(grid(2, 3)), Tensor(grid(3, 3)))
    assert "layer" not in str(outside.value)


def test_a_module_without_forward(backend):
    class Nothing(nn.Module):
        pass

    with pytest.raises(TypeError, match=r"Nothing has no forward\(\)"):
        Nothing()(Tensor(1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 2), "Linear: in_features must be greater than 0, not 0"),
        (lambda: nn.Linear(2, 2, initialiser="zeros"), "Linear: initialiser must be 'kaiming_uniform' or"),
        (lambda: nn.Dropout(1.0), "Dropout: rate must be less than 1, not 1.0"),
        (lambda: nn.LayerNorm(2, epsilon=0.0), "LayerNorm: epsilon must be greater than 0"),
        (lambda: nn.Embedding(3, -1), "Embedding: features must be greater than 0"),
    ],
)
def test_options_outside_their_limits(make, message, backend):
    with pytest.raises(OptionError, match=message):
        make()


def test_registered_layers_are_made_from_their_options(backend):
    with no_grad():
        for name, factory in nn.layers.items():
            required = {"out_features": 2} if name == "linear" else {}
            supplied = {"in_features": 3} if name in ("linear", "layer_norm") else {}
            assert required.keys() <= nn.layers.options(name).keys()
            layer = factory(**supplied, **required)
            assert layer(Tensor(grid(2, 3))).shape == (2, layer.outputs(3))
