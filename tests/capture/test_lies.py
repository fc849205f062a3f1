"""The ways in which a replay could silently differ from running the step: each works the same, or raises CaptureError.

The list is in docs/capture.md; the tests here are in its order.
"""

import copy
import pickle
import random
import threading
import types
from collections import deque, namedtuple

import numpy as np
import pytest

from places import BACKENDS, EXACT
from pycrograd_core import RandomStream, Tensor, capture, enable_grad, nn, no_grad, ops, optim, use_backend
from pycrograd_core.capture import Captured
from pycrograd_core.errors import CaptureError, GraphFreedError, IndexRangeError, InPlaceError
from pycrograd_core.op import Op
from pycrograd_core.ops.shapes import same
from twins import Setting, assert_alike, with_dropout

pytestmark = pytest.mark.parametrize("backend", EXACT)


def tensor(values, backend, **options):
    return Tensor(values, backend=backend, dtype="float64", **options)


# A value is read, or decides a branch ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read",
    [Tensor.item, float, int, bool, Tensor.numpy, Tensor.tolist, np.asarray, repr, lambda loss: 1 if loss > 2 else 0],
    ids=["item", "float", "int", "bool", "numpy", "tolist", "asarray", "repr", "if"],
)
@pytest.mark.parametrize("of", ["a computed value", "a parameter", "an argument"])
def test_reading_a_value(backend, read, of):
    weight = tensor([[2.0]], backend)

    def step(x):
        read({"a computed value": x * 2.0, "a parameter": weight, "an argument": x}[of])
        return x * weight

    captured = capture(step)
    with pytest.raises(CaptureError, match=r"return it from the step.*ops\.where"):
        captured(tensor([[1.0]], backend))


def test_what_a_shape_decides_is_no_lie(backend):
    step = capture(lambda x: x.sum() if x.rows > 2 else x.mean())
    for rows in (1, 4, 2, 3):
        values = np.arange(rows * 3.0).reshape(rows, 3)
        expected = values.sum() if rows > 2 else values.mean()
        assert step(tensor(values, backend)).item() == pytest.approx(expected, rel=1e-12)


# A number in Python changed ----------------------------------------------------------------------------------------

SCALE = 2.0
SETTINGS = {"scale": 2.0}
SCALES = [2.0]


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale


class Plain:
    def __init__(self, scale):
        self.scale = scale


def scaled(x):
    return x * SCALE


def in_a_closure(backend):
    scale = 2.0

    def step(x):
        return x * scale

    def change(value):
        nonlocal scale
        scale = value

    return step, change


def in_a_global(backend):
    return lambda x: x * SCALE, lambda value: globals().update(SCALE=value)


def in_a_global_of_a_function_it_calls(backend):
    return lambda x: scaled(x), lambda value: globals().update(SCALE=value)


def in_a_dictionary(backend):
    return lambda x: x * SETTINGS["scale"], lambda value: SETTINGS.update(scale=value)


def in_a_list(backend):
    return lambda x: x * SCALES[0], lambda value: SCALES.__setitem__(0, value)


def in_an_attribute(backend):
    holder = Plain(2.0)
    return lambda x: x * holder.scale, lambda value: setattr(holder, "scale", value)


def in_a_slot(backend):
    holder = Slotted(2.0)
    return lambda x: x * holder.scale, lambda value: setattr(holder, "scale", value)


def in_a_module(backend):
    class Scale(nn.Module):
        def __init__(self):
            self.scale = 2.0

        def forward(self, x):
            return x * self.scale

    layers = nn.Sequential(Scale())
    return lambda x: layers(x), lambda value: setattr(layers[0], "scale", value)


class Helping:
    shared = 2.0

    def __init__(self):
        self._scale = 2.0

    @property
    def scale(self):
        return self._scale

    def scaled(self, x):
        return x * self._scale

    def __call__(self, x):
        return self.scaled(x)

    def step(self, x):
        return self.scaled(x)


def in_a_method_that_the_step_calls(backend):
    helping = Helping()
    return helping.step, lambda value: setattr(helping, "_scale", value)


def in_a_property(backend):
    helping = Helping()
    return lambda x: x * helping.scale, lambda value: setattr(helping, "_scale", value)


def in_an_object_that_is_called(backend):
    helping = Helping()
    return lambda x: helping(x), lambda value: setattr(helping, "_scale", value)


def in_a_class(backend):
    class Local(Helping):
        shared = 2.0

    local = Local()
    return lambda x: x * local.shared, lambda value: setattr(Local, "shared", value)


def in_a_class_hidden_by_the_object(backend):
    helping = Helping()
    return lambda x: x * helping.shared, lambda value: setattr(helping, "shared", value)


def in_a_private_attribute_of_a_module(backend):
    class Scale(nn.Module):
        def __init__(self):
            self._scale = 2.0

        def forward(self, x):
            return x * self._scale

    layer = Scale()
    return lambda x: layer(x), lambda value: setattr(layer, "_scale", value)


def in_a_captured_step_within(backend):
    scale = 2.0
    inner = capture(lambda x: x * scale)

    def change(value):
        nonlocal scale
        scale = value

    return lambda x: inner(x), change


def in_a_host_array(backend):
    array = np.array([2.0])
    return lambda x: x * float(array[0]), lambda value: array.__setitem__(0, value)


def in_a_numpy_number(backend):
    holder = Plain(np.float64(2.0))
    return lambda x: x * holder.scale, lambda value: setattr(holder, "scale", np.float64(value))


def in_a_queue(backend):
    queue = deque([2.0])
    return lambda x: x * queue[0], lambda value: (queue.clear(), queue.append(value))


def in_a_set(backend):
    numbers = {2.0}
    return lambda x: x * max(numbers), lambda value: (numbers.clear(), numbers.add(value))


def in_a_module_of_python(backend):
    module = types.ModuleType("settings_of_a_test")
    module.scale = 2.0
    return lambda x: x * module.scale, lambda value: setattr(module, "scale", value)


def in_a_default(backend):
    def step(x, scale=2.0):
        return x * scale

    return step, lambda value: setattr(step, "__defaults__", (value,))


def in_a_rule_of_an_op(backend):
    scales = [2.0]
    op = Op("scaled by a list", "x · s", same, None, decomposition=lambda x: x * scales[0])
    return lambda x: op(x), lambda value: scales.__setitem__(0, value)


def in_a_hook(backend):
    scales = [2.0]
    ones = tensor([[1.0, 1.0]], backend, requires_grad=True)
    ones.register_hook(lambda g: g * scales[0])

    def step(x):
        ones.grad = None
        (x * ones).sum().backward()
        return ones.grad

    return step, lambda value: scales.__setitem__(0, value)


def in_an_overridden_method(backend):
    class Scale(nn.Module):
        def forward(self, x):
            return x * 2.0

    layer = Scale()
    return lambda x: layer(x), lambda value: setattr(Scale, "forward", lambda self, x: x * value)


def in_a_method(backend):
    class Stepper(Plain):
        def step(self, x):
            return x * self.scale

    stepper = Stepper(2.0)
    return stepper.step, lambda value: setattr(stepper, "scale", value)


@pytest.mark.parametrize(
    "place",
    [
        in_a_closure, in_a_global, in_a_global_of_a_function_it_calls, in_a_dictionary, in_a_list, in_an_attribute,
        in_a_slot, in_a_module, in_a_method, in_a_method_that_the_step_calls, in_a_property,
        in_an_object_that_is_called, in_a_class, in_a_class_hidden_by_the_object, in_a_private_attribute_of_a_module,
        in_a_captured_step_within, in_a_host_array,
        in_a_numpy_number, in_a_queue, in_a_default, in_a_rule_of_an_op,
        in_a_hook, in_an_overridden_method, in_a_set, in_a_module_of_python,
    ],
)  # fmt: skip
def test_a_number_that_changed(backend, place):
    step, change = place(backend)
    change(2.0)
    captured = capture(step)
    x = tensor([[1.0, -3.0]], backend)
    try:
        for value in (2.0, 2.0, 2.0, 5.0, 5.0, 2.0, -1, True):
            change(value)
            assert captured(x).tolist() == [[value, -3.0 * value]]
    finally:
        change(2.0)


def test_an_attribute_that_was_not_there(backend):
    class Scale(nn.Module):
        def forward(self, x):
            return x * getattr(self, "extra", 2.0)

    layer, x = Scale(), tensor([[1.0]], backend)
    step = capture(lambda x: layer(x))
    assert [step(x).item() for _ in range(3)] == [2.0] * 3
    layer.extra = 5.0
    assert [step(x).item() for _ in range(3)] == [5.0] * 3
    del layer.extra
    assert [step(x).item() for _ in range(3)] == [2.0] * 3


def test_the_order_of_a_dictionary_and_the_sign_of_zero(backend):
    factors, zero, x = {"a": 2.0, "b": 3.0}, [0.0], tensor([[1.0]], backend)

    def step(x):
        for key in factors:
            x = x * factors[key] + 1.0
        return x, x / zero[0]

    captured = capture(step)
    assert [captured(x)[0].item() for _ in range(3)] == [10.0] * 3
    factors["a"] = factors.pop("a")
    zero[0] = -0.0
    for _ in range(3):
        total, infinite = captured(x)
        assert (total.item(), infinite.item()) == (9.0, -np.inf)


def test_what_is_too_long_to_watch(backend):
    numbers = [1.0] * 5000
    with pytest.raises(CaptureError, match="too long to be watched"):
        capture(lambda x: x * numbers[17])(tensor([[1.0]], backend))


def test_a_branch_on_whether_there_is_a_gradient(backend):
    weight, x = tensor([[2.0]], backend, requires_grad=True), tensor([[1.0]], backend)
    step = capture(lambda x: x * weight * (1.0 if weight.grad is None else 10.0))
    assert [step(x).item() for _ in range(3)] == [2.0] * 3
    weight.grad = tensor([[1.0]], backend)
    assert [step(x).item() for _ in range(3)] == [20.0] * 3


def test_a_number_that_is_an_argument(backend):
    step = capture(lambda x, scale, *, shift=0.0: x * scale + shift)
    x = tensor([[1.0, -3.0]], backend)
    for scale, shift in ((2.0, 0.0), (2.0, 1.0), (3, 1.0), (2.0, 0.0), (-0.0, 0.5)):
        assert step(x, scale, shift=shift).tolist() == [[scale + shift, -3.0 * scale + shift]]


@pytest.mark.many_programs
def test_too_many_numbers(backend):
    step = capture(lambda x, scale: x * scale)
    x = tensor([[1.0]], backend)
    for number in range(64):
        assert step(x, float(number)).item() == number
    with pytest.raises(CaptureError, match=r"keep changing \(pass them as tensors\)"):
        step(x, 64.0)
    assert step(x, 3.0).item() == 3.0
    assert step(x, 65.0).item() == 65.0, "a replay in between"


def test_a_number_that_nobody_can_find(backend):
    numbers = iter([0.5, 0.25])
    step, x = capture(lambda x: x * next(numbers)), tensor([[1.0]], backend)
    step(x)
    with pytest.raises(CaptureError, match=r"`multiply\(x0, 0\.5\)` became `multiply\(x0, 0\.25\)`.*as an argument"):
        step(x)


@pytest.mark.parametrize("draw", [random.random, np.random.rand])
def test_a_random_number(backend, draw):
    with pytest.raises(CaptureError, match="like_drawn"):
        capture(lambda x: x * float(draw()))(tensor([[1.0]], backend))


def test_a_refusal_that_the_step_catches(backend):
    def step(x):
        try:
            factor = x.item()
        except CaptureError:
            factor = 0.0
        return x * factor

    with pytest.raises(CaptureError, match="a value was read"):
        capture(step)(tensor([[1.0]], backend))


def test_tensors_that_the_step_only_looks_at(backend):
    weights = [tensor([[2.0]], backend, requires_grad=True), tensor([[3.0]], backend)]
    step = capture(lambda x: x + sum((w * w for w in weights if w.requires_grad), x))
    x = tensor([[1.0]], backend)
    assert [step(x).item() for _ in range(3)] == [6.0] * 3
    weights[1].requires_grad = True
    assert [step(x).item() for _ in range(3)] == [15.0] * 3


def test_a_gradient_that_the_step_clears(backend):
    used, unused = (tensor([[2.0]], backend, requires_grad=True) for _ in range(2))

    def step(x):
        used.grad = unused.grad = None
        (used * x).backward()

    captured, x = capture(step), tensor([[1.0]], backend)
    for _ in range(3):
        captured(x)
        assert unused.grad is None
        assert used.grad.item() == 1.0
        (unused * 2.0).backward()


def test_a_counter_in_the_step(backend):
    class Counting:
        calls = 0

        def step(self, x):
            self.calls += 1
            return x * (1.0 / self.calls)

    counting = Counting()
    step, x = capture(counting.step), tensor([[1.0]], backend)
    assert step(x).item() == 1.0
    with pytest.raises(CaptureError):
        assert [step(x).item() for _ in range(3)] == [1 / 2, 1 / 3, 1 / 4]


def test_a_number_that_is_returned(backend):
    count = iter(range(100))
    step, x = capture(lambda x: (x + 1.0, next(count))), tensor([[1.0]], backend)
    assert step(x)[1] == 0
    with pytest.raises(CaptureError, match="returns or keeps something else"):
        step(x)


@pytest.mark.many_programs
def test_the_rate_and_what_an_optimiser_is_told(backend):
    eager, captured = Setting(backend, optimiser="momentum"), Setting(backend, optimiser="momentum")
    step = capture(captured.step)
    for number in range(12):
        for setting in (eager, captured):
            setting.optimiser.learning_rate = 0.1 * 0.8**number  # a state: nothing is traced again
            if number == 6:
                setting.optimiser.momentum = 0.5  # a number in Python: it is
        assert step(captured.x, captured.labels).item() == pytest.approx(
            eager.step(eager.x, eager.labels).item(), 1e-12
        )
    assert_alike(eager, captured)
    assert len(step.programs) == 2


def test_an_optimiser_that_computes_with_the_number(backend):
    class Own(optim.SGD):
        def update(self, index, parameter, gradient):
            parameter.update(ops.subtract, gradient * self.learning_rate)

    setting = Setting(backend)
    setting.optimiser = Own(setting.model.parameters(), 0.1)
    setting.step(setting.x, setting.labels)
    with pytest.raises(CaptureError):
        capture(setting.step)(setting.x, setting.labels)


# Shapes, dtypes, devices ---------------------------------------------------------------------------------------------


def test_another_shape_is_another_program(backend):
    eager, captured = Setting(backend), Setting(backend)
    step = capture(captured.step)
    for start, stop in ((0, 8), (8, 12), (0, 8), (8, 12), (0, 8), (3, 4), (0, 8)):
        losses = [
            each(setting.x[start:stop], setting.labels[start:stop]).item()
            for each, setting in ((eager.step, eager), (step, captured))
        ]
        assert losses[1] == pytest.approx(losses[0], 1e-12)
    assert_alike(eager, captured)
    assert len(step.programs) == 3


def test_another_dtype_is_another_program(backend):
    step = capture(lambda x: x * 0.1)
    for dtype in ("float32", "float64", "float32", "float64"):
        x = Tensor([[1.0, 3.0]], backend=backend, dtype=dtype)
        y = step(x)
        assert y.dtype == dtype
        assert y.tolist() == (x * 0.1).tolist()


@pytest.mark.parametrize("other", EXACT)
def test_another_default_backend(backend, other):
    step = capture(lambda: Tensor([[2.0]]).sum())
    for name in (backend, backend, backend, other, other, backend):
        with use_backend(name):
            assert step().backend == name


@pytest.mark.parametrize("other", BACKENDS)
def test_another_backend_is_another_program(backend, other):
    step = capture(lambda x: x * 2.0)
    for name in (backend, other, backend, other):
        y = step(Tensor([[1.5]], backend=name))
        assert (y.backend, y.item()) == (name, 3.0)


def test_host_arrays_are_uploaded(backend):
    eager, captured = Setting(backend), Setting(backend)
    step = capture(captured.step)
    for _ in range(3):
        loss = step(captured.x.numpy(), captured.labels.numpy()[:, 0])
        assert loss.dtype == "float64"
        assert loss.item() == pytest.approx(eager.step(eager.x, eager.labels).item(), 1e-12)
    assert_alike(eager, captured)


def test_arguments_in_containers_and_by_name(backend):
    Pair = namedtuple("Pair", "a b")
    step = capture(lambda pair, *, extra: {"sum": pair.a + pair.b, "rest": [extra["c"] * 2.0, None, "text", 3]})
    for number in (1.0, 2.0, 3.0):
        a, b, c = (tensor([[number * factor]], backend) for factor in (1.0, 10.0, 100.0))
        result = step(Pair(a, b), extra={"c": c})
        assert result["sum"].item() == 11 * number
        assert result["rest"][0].item() == 200 * number
        assert result["rest"][1:] == [None, "text", 3]


# The model changed --------------------------------------------------------------------------------------------------


def add_a_layer(setting):
    with use_backend(setting.x.backend):
        extra = nn.Linear(5, 5, initialiser="ones" if "ones" in nn.init.INITIALISERS else "kaiming_uniform")
    with no_grad():
        extra.weight.assign(np.eye(5) * 0.5)
    extra.to(dtype="float64")
    setting.model.modules.append(extra)
    setting.optimiser.parameters += extra.parameters()


def freeze(setting):
    setting.model[0].weight.requires_grad = False


def thaw(setting):
    setting.model[0].weight.requires_grad = True


def replace_a_parameter(setting):
    setting.model[2].bias = setting.x.like([[0.5, 0.25, 0.125, 0.0, 1.0]])


def replace_a_layer(setting):
    setting.model.modules[1] = nn.Tanh()


def load(setting):
    setting.model.load_state_dict({name: values * 0.5 for name, values in setting.model.state_dict().items()})


def write(setting):
    with no_grad():
        setting.model[0].weight.assign(setting.model[0].weight * 0.5)


def new_optimiser(setting):
    setting.optimiser = optim.SGD(setting.model.parameters(), 0.02)


def no_change(setting):
    pass


@pytest.mark.parametrize(
    "change",
    [add_a_layer, freeze, replace_a_parameter, replace_a_layer, load, write, new_optimiser, no_change],
)
def test_the_model_changed(backend, change):
    eager, captured = Setting(backend), Setting(backend)
    step = capture(captured.step)
    for number in range(9):
        for setting in (eager, captured):
            if number == 4:
                change(setting)
            if number == 7 and change is freeze:
                thaw(setting)
        losses = eager.step(eager.x, eager.labels).item(), step(captured.x, captured.labels).item()
        assert losses[1] == pytest.approx(losses[0], 1e-12), number
    assert_alike(eager, captured)


@pytest.mark.many_programs
def test_many_changes_in_a_long_life(backend):
    """Other shapes, loaded states and replaced parameters for ever: the oldest programs are forgotten."""
    weight = [tensor([[2.0]], backend)]
    step = capture(lambda x: x * weight[0])
    for number in range(1, 150):
        x = tensor(np.ones((number, 1)), backend)
        assert step(x).tolist() == [[weight[0].item()]] * number
        if number % 3 == 0:
            weight[0] = tensor([[float(number)]], backend)
            assert step(x).tolist() == step(x).tolist() == [[float(number)]] * number
    assert len(step.programs) <= 64


def test_training_and_evaluation(backend):
    eager, captured = Setting(backend, layers=with_dropout), Setting(backend, layers=with_dropout)
    step = capture(captured.step)
    for number in range(12):
        for setting in (eager, captured):
            setting.model.train(number % 4 < 2)
        losses = eager.step(eager.x, eager.labels).item(), step(captured.x, captured.labels).item()
        assert losses[1] == pytest.approx(losses[0], 1e-12), number
    assert_alike(eager, captured)
    assert [eager.model[i].draws for i in (1, 3)] == [captured.model[i].draws for i in (1, 3)] == [6, 6]


def test_dropout_draws_what_eager_draws(backend):
    x = tensor(np.ones((20, 30)), backend)
    layers = [nn.Dropout(0.5, stream=RandomStream(7)) for _ in range(2)]
    step = capture(lambda x: layers[1](x))
    drawn = [(layers[0](x).tolist(), step(x).tolist()) for _ in range(5)]
    assert all(one == other for one, other in drawn)
    assert len({str(one) for one, _ in drawn}) == 5


def test_recording_or_not(backend):
    weight = tensor([[3.0]], backend, requires_grad=True)
    step = capture(lambda x: x * weight)
    x = tensor([[2.0]], backend)
    for _ in range(3):
        with no_grad():
            assert not step(x).requires_grad
        with enable_grad():
            assert step(x).requires_grad


# Memory that is shared ----------------------------------------------------------------------------------------------


def test_what_was_returned_stays_as_it_was(backend):
    setting = Setting(backend)
    step = capture(lambda x, labels: (setting.step(x, labels), setting.model(x)))
    results = [step(setting.x, setting.labels) for _ in range(6)]
    kept = [(loss.item(), outputs.numpy()) for loss, outputs in results]
    step(setting.x, setting.labels)
    assert len({loss for loss, _ in kept}) == 6
    for (loss, outputs), (number, values) in zip(results, kept, strict=True):
        assert loss.item() == number
        np.testing.assert_array_equal(outputs.numpy(), values)


def test_an_output_can_be_written_to(backend):
    weight = tensor([[1.0, 2.0]], backend)
    step = capture(lambda x: (x + weight, weight * 1.0))
    for _ in range(4):
        y, w = step(tensor([[1.0, 1.0]], backend))
        assert (y.tolist(), w.tolist()) == ([[2.0, 3.0]], [[1.0, 2.0]])
        y.assign([[9.0, 9.0]])
        w.assign([[9.0, 9.0]])
    assert weight.tolist() == [[1.0, 2.0]]


def test_what_is_returned_as_it_is(backend):
    weight, x = tensor([[1.0, 2.0]], backend), tensor([[5.0, 6.0]], backend)
    step = capture(lambda x: (x, weight, weight.detach(), x.detach(), y := x + 1.0, y))
    for number in range(4):
        given, parameter, detached, other, y, same = step(x)
        assert given is x
        assert parameter is weight
        assert detached.value is weight.value
        assert other.value is x.value
        assert y is same
        assert y.tolist() == [[6.0 + number, 7.0 + number]]
        x = tensor([[6.0 + number, 7.0 + number]], backend)


def test_an_argument_that_is_a_parameter(backend):
    weight = tensor([[1.0, 2.0]], backend)

    def step(x):
        weight.assign(weight + 1.0)
        return x * 10.0

    captured = capture(step)
    expected = weight.numpy()
    for argument in ("other", "weight", "weight", "other", "weight", "other", "weight"):
        expected = expected + 1.0
        x = weight if argument == "weight" else tensor([[7.0, 8.0]], backend)
        result = captured(x)
        assert result.tolist() == (expected * 10.0 if x is weight else np.array([[70.0, 80.0]])).tolist()
        assert weight.tolist() == expected.tolist()


def test_arguments_that_are_written_and_shared(backend):
    def step(a, b):
        a.assign(a + 1.0)
        return a * 1.0, b * 1.0

    captured = capture(step)
    for shared in (False, True, True, False, False, True):
        a = tensor([[1.0]], backend)
        b = a if shared else tensor([[5.0]], backend)
        one, other = captured(a, b)
        assert (one.item(), other.item()) == (2.0, 2.0 if shared else 5.0)
        assert a.item() == 2.0


def test_two_values_change_places(backend):
    a, b = tensor([[1.0, 2.0]], backend), tensor([[3.0, 4.0]], backend)

    def step(x):
        before = a * 1.0
        a.assign(b)
        b.assign(before)
        return a + x

    captured = capture(step)
    for number in range(5):
        expected = [[1.0, 2.0]] if number % 2 else [[3.0, 4.0]]
        assert captured(tensor([[0.0, 0.0]], backend)).tolist() == expected
        assert a.tolist() == expected


def test_the_old_value_is_read_after_the_write(backend):
    weight = tensor([[1.0, 2.0]], backend)

    def step(x):
        before = weight * 1.0
        shared = weight + 0.0
        weight.assign(weight * 2.0)
        return before + x, shared - weight, weight * 1.0

    captured = capture(step)
    for number in range(5):
        values = np.array([[1.0, 2.0]]) * 2**number
        before, difference, after = captured(tensor([[0.0, 0.0]], backend))
        assert before.tolist() == values.tolist()
        assert difference.tolist() == (-values).tolist()
        assert after.tolist() == weight.tolist() == (2 * values).tolist()


# An exception in mid-trace ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["forward", "backward", "update"])
def test_an_exception_leaves_everything_as_it_was(backend, where):
    setting, whole = Setting(backend, optimiser="momentum"), Setting(backend, optimiser="momentum")
    fails = True

    def step(x, labels):
        loss = nn.cross_entropy(setting.model(x), labels)
        if fails and where == "forward":
            raise KeyError(where)
        setting.optimiser.zero_grad()
        loss.backward()
        if fails and where == "backward":
            raise KeyError(where)
        setting.optimiser.step()
        if fails:
            raise KeyError(where)
        return loss

    captured = capture(step)
    before = setting.model.state_dict()
    with pytest.raises(KeyError, match=where):
        captured(setting.x, setting.labels)
    for name, values in setting.model.state_dict().items():
        np.testing.assert_array_equal(values, before[name])
    assert all(parameter.grad is None for parameter in setting.model.parameters())
    assert all(not values.any() for values in setting.optimiser.state_dict().values())
    whole.step(whole.x, whole.labels)  # eager still works
    fails = False
    captured(setting.x, setting.labels)
    assert_alike(whole, setting)


# Captures in captures, and beside each other ------------------------------------------------------------------------


def test_a_captured_step_in_another(backend):
    eager, captured = Setting(backend), Setting(backend)
    inner = capture(captured.step)
    outer = capture(lambda x, labels: inner(x, labels) + inner(x, labels))
    for _ in range(4):
        expected = eager.step(eager.x, eager.labels).item() + eager.step(eager.x, eager.labels).item()
        assert outer(captured.x, captured.labels).item() == pytest.approx(expected, 1e-12)
    assert_alike(eager, captured)
    assert inner.traces == 0
    with pytest.raises(CaptureError, match="in a Python loop"):
        capture(lambda x, labels: inner.scan(x, labels, rows=[[0, 1]]))(captured.x, captured.labels)


def test_two_captures_share_parameters(backend):
    eager, captured = Setting(backend, optimiser="momentum"), Setting(backend, optimiser="momentum")
    second = optim.Adam(captured.model.parameters(), 0.01)
    reference = optim.Adam(eager.model.parameters(), 0.01)

    def with_adam(setting, optimiser):
        def step(x, labels):
            loss = nn.cross_entropy(setting.model(x), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            return loss

        return step

    steps = eager.step, with_adam(eager, reference), eager.step
    captures = capture(captured.step), capture(with_adam(captured, second)), captured.step  # the last one is eager
    for number in (0, 1, 0, 2, 1, 0, 1, 2, 2, 0, 1):
        expected = steps[number](eager.x, eager.labels).item()
        assert captures[number](captured.x, captured.labels).item() == pytest.approx(expected, 1e-12)
        outputs = eager.model(eager.x).numpy()
        np.testing.assert_allclose(captured.model(captured.x).numpy(), outputs, rtol=1e-12)
    assert_alike(eager, captured)


def test_as_a_method_every_object_has_its_own(backend):
    class Trainer(Setting):
        step = capture(Setting.step)

    one, other, eager = Trainer(backend), Trainer(backend, optimiser="adam"), Setting(backend, optimiser="adam")
    assert isinstance(one.step, Captured)
    assert one.step is one.step
    for _ in range(4):
        one.step(one.x, one.labels)
        other.step(other.x, other.labels)
        eager.step(eager.x, eager.labels)
    assert_alike(eager, other)


def test_methods_of_equal_objects(backend):
    class Equal:
        def __init__(self, weight):
            self.weight = tensor([[weight]], backend)

        def __eq__(self, other):
            return True

        __hash__ = None

        @capture
        def step(self, x):
            return x * self.weight

    one, other, x = Equal(2.0), Equal(5.0), tensor([[1.0]], backend)
    for _ in range(3):
        assert (one.step(x).item(), other.step(x).item()) == (2.0, 5.0)
    twin = copy.deepcopy(one)
    twin.weight = tensor([[7.0]], backend)
    assert [twin.step(x).item(), one.step(x).item()] == [7.0, 2.0]


def test_a_copy_is_a_step_of_its_own(backend):
    step, x = capture(scaled), tensor([[1.5]], backend)
    for other in (copy.copy(step), copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        assert [other(x).item() for _ in range(3)] == [3.0] * 3


def test_another_thread_during_a_trace(backend):
    weight, failures = tensor([[2.0]], backend), []

    def other():
        for use in (lambda: weight * 3.0, lambda: weight.assign(weight + 1.0), weight.item):
            try:
                use()
            except CaptureError as error:
                failures.append(str(error))

    def step(x):
        y = x * weight
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return y

    captured, x = capture(step), tensor([[1.0]], backend)
    assert [captured(x).item() for _ in range(3)] == [2.0] * 3
    assert len(failures) == 3 * captured.traces
    assert all("another thread" in failure for failure in failures)
    assert len(list(captured.programs[0].instructions)) == 1


def test_threads_take_turns(backend):
    total = tensor([[0.0]], backend)

    def step(x):
        total.assign(total + x)
        return total * 1.0

    captured, one = capture(step), tensor([[1.0]], backend)
    captured(one), captured(one)
    threads = [threading.Thread(target=lambda: [captured(one) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total.item() == 202.0


# Gradients between steps --------------------------------------------------------------------------------------------


def test_gradients_of_what_was_updated_are_not_kept(backend):
    setting = Setting(backend)
    step = capture(setting.step)
    for _ in range(3):
        step(setting.x, setting.labels)
        for parameter in setting.model.parameters():
            assert parameter.grad is not None
            assert parameter.grad.shape == parameter.shape
            for use in (Tensor.numpy, lambda g: g * 2.0, lambda g: g + parameter, lambda g: parameter + g):  # noqa: B023
                with pytest.raises(CaptureError, match=r"return them from the step"):
                    use(parameter.grad)
    with pytest.raises(CaptureError):
        setting.optimiser.step()
    with pytest.raises(CaptureError), no_grad():
        capture(lambda: setting.model[0].bias.grad * 1.0)()
    setting.optimiser.zero_grad()
    assert setting.step(setting.x, setting.labels).item() > 0


def test_gradients_that_are_returned(backend):
    eager, captured = Setting(backend), Setting(backend)

    def step(x, labels):
        loss = captured.step(x, labels)
        return loss, [parameter.grad for parameter in captured.model.parameters()]

    with_gradients = capture(step)
    for _ in range(4):
        eager.step(eager.x, eager.labels)
        _, gradients = with_gradients(captured.x, captured.labels)
        for parameter, gradient in zip(eager.model.parameters(), gradients, strict=True):
            np.testing.assert_allclose(gradient.numpy(), parameter.grad.numpy(), rtol=1e-12)


def test_gradients_that_no_update_used_are_kept_and_accumulate(backend):
    eager, captured = Setting(backend), Setting(backend)

    def backward(setting):
        def step(x, labels):
            loss = nn.cross_entropy(setting.model(x), labels)
            loss.backward()
            return loss

        return step

    steps = backward(eager), capture(backward(captured))
    for number in range(9):
        for step, setting in zip(steps, (eager, captured), strict=True):
            part = slice(number % 3, number % 3 + 6)
            step(setting.x[part], setting.labels[part])
        for one, other in zip(eager.model.parameters(), captured.model.parameters(), strict=True):
            np.testing.assert_allclose(other.grad.numpy(), one.grad.numpy(), rtol=1e-12)
        if number % 3 == 2:
            for setting in (eager, captured):
                setting.optimiser.step()
                setting.optimiser.zero_grad()
    assert_alike(eager, captured)


def test_gradients_that_are_never_forgotten(backend):
    """Without zero_grad() each step adds to the gradients of the one before, which a captured step has not kept."""
    setting = Setting(backend)

    def step(x, labels):
        loss = nn.cross_entropy(setting.model(x), labels)
        loss.backward()
        setting.optimiser.step()
        return loss

    captured = capture(step)
    captured(setting.x, setting.labels)
    with pytest.raises(CaptureError, match="does not keep the gradients"):
        captured(setting.x, setting.labels)


def test_a_gradient_that_is_closed_over(backend):
    weight = tensor([[2.0]], backend, requires_grad=True)
    (weight * 3.0).backward()
    kept = weight.grad

    def step(x):
        (weight * x).backward()
        return weight.grad + kept

    with pytest.raises(CaptureError, match="keep a copy"):
        capture(step)(tensor([[1.0]], backend))
    kept = kept * 1.0
    captured, total = capture(step), 3.0
    for _ in range(4):
        total += 1.0
        assert captured(tensor([[1.0]], backend)).item() == total + 3.0


def test_gradients_of_arguments(backend):
    weight = tensor([[2.0, 3.0]], backend, requires_grad=True)

    def step(x):
        y = (x * x * weight).sum()
        y.backward()
        return y

    captured = capture(step)
    eager = tensor([[2.0, 3.0]], backend, requires_grad=True)
    for number in range(4):
        x = tensor([[1.0 + number, 2.0]], backend, requires_grad=True)
        for _ in range(2):
            captured(x)
        np.testing.assert_allclose(x.grad.numpy(), 2 * 2 * x.numpy() * weight.numpy(), rtol=1e-12)
        eager_x = tensor(x.numpy(), backend, requires_grad=True)
        for _ in range(2):
            (eager_x * eager_x * eager).sum().backward()
        np.testing.assert_allclose(weight.grad.numpy(), eager.grad.numpy(), rtol=1e-12)


# Graphs that cross the border ---------------------------------------------------------------------------------------


def test_a_tensor_with_a_history(backend):
    weight = tensor([[2.0]], backend, requires_grad=True)
    outside = weight * 3.0
    for step, arguments in ((lambda: outside * 2.0, ()), (lambda x: x * 2.0, (outside,))):
        with pytest.raises(CaptureError, match=r"with its history.*detach\(\)"):
            capture(step)(*arguments)
    assert capture(lambda x: x * 2.0)(outside.detach()).item() == 12.0


def test_backward_from_an_output(backend):
    weight = tensor([[2.0]], backend, requires_grad=True)
    step = capture(lambda x: x * weight)
    for _ in range(3):
        y = step(tensor([[3.0]], backend))
        assert y.requires_grad
        for loss in (y, y * 2.0):
            with pytest.raises((CaptureError, GraphFreedError), match=r"call backward\(\) inside the step"):
                loss.backward()
    assert weight.grad is None


def test_a_graph_that_a_step_overwrote(backend):
    setting = Setting(backend)
    step = capture(setting.step)
    for _ in range(3):
        loss = nn.cross_entropy(setting.model(setting.x), setting.labels)
        step(setting.x, setting.labels)
        setting.optimiser.zero_grad()
        with pytest.raises(InPlaceError):
            loss.backward()


def test_hooks(backend):
    weight = tensor([[2.0]], backend, requires_grad=True)

    def step(x):
        (x * weight).backward()
        gradient = weight.grad
        weight.grad = None
        return gradient

    captured, x = capture(step), tensor([[3.0]], backend)
    assert [captured(x).item() for _ in range(3)] == [3.0, 3.0, 3.0]
    remove = weight.register_hook(lambda g: g * 10.0)
    assert [captured(x).item() for _ in range(3)] == [30.0, 30.0, 30.0]
    remove()
    assert [captured(x).item() for _ in range(3)] == [3.0, 3.0, 3.0]


# Host data, and values that are kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda x, data: x + data,
        lambda x, data: x.like(data),
        lambda x, data: Tensor(data, backend=x.backend, dtype=x.dtype) * x,
        lambda x, data: x.assign(data),
        lambda x, data: x.take_rows(np.array([0])),
    ],
    ids=["an operand", "like", "Tensor", "assign", "indices"],
)
def test_a_host_array_in_the_step(backend, use):
    data = np.array([[1.0, 2.0]])
    with pytest.raises(CaptureError, match=r"pass it as an argument.*like_drawn"):
        capture(lambda x: use(x, data))(tensor([[1.0, 1.0]], backend))


def test_numbers_that_stand_in_the_step(backend):
    half = [[0.5, 0.5]]
    step = capture(lambda x: x + [[1.0, 2.0]] + Tensor(half, backend=backend, dtype="float64"))  # noqa: RUF005
    for number in range(4):
        assert step(tensor([[number, 0.0]], backend)).tolist() == [[number + 1.5, 2.5]]


def test_a_list_that_changed(backend):
    data = [[1.0, 2.0]]
    step, x = capture(lambda x: x + data), tensor([[1.0, 1.0]], backend)
    for number in (2.0, 2.0, 2.0, 7.0, 7.0, 2.0):
        data[0][1] = number
        assert step(x).tolist() == [[2.0, 1.0 + number]]
    long = [[1.0] * 5000]
    with pytest.raises(CaptureError, match="as an argument"):
        capture(lambda x: x.sum() + long)(x)


def test_host_data_that_are_drawn_anew(backend):
    numbers = iter(np.arange(100.0))

    def draw(rows, cols):
        return np.full((rows, cols), next(numbers))

    step = capture(lambda x: x + x.like_drawn(draw, 1, 2))
    assert [step(tensor([[0.0, 1.0]], backend)).tolist() for _ in range(4)] == [[[n, n + 1.0]] for n in range(4)]


def test_a_value_that_was_kept(backend):
    class Kept:
        last = None

    def step(x):
        y = x * 2.0
        if Kept.last is not None:
            y = y + Kept.last
        Kept.last = y
        return y * 1.0

    captured, x = capture(step), tensor([[1.0]], backend)
    captured(x)
    with pytest.raises(CaptureError, match=r"was kept after it.*assign\(\)"):
        captured(x)
    with pytest.raises(CaptureError):
        Kept.last.item()
    with pytest.raises(CaptureError):
        x + Kept.last


def test_state_that_the_first_step_creates(backend):
    class Average:
        value = None

        def step(self, x):
            if self.value is None:
                self.value = x.new_full(1, 2, 0.5)
            self.value.assign(self.value * 0.5 + x)
            return self.value * 1.0

    eager, captured = Average(), Average()
    step = capture(captured.step)
    for number in range(5):
        x = tensor([[number, 1.0]], backend)
        assert step(x).tolist() == eager.step(x).tolist()
        assert captured.value.tolist() == eager.value.tolist()


def test_what_cannot_be_returned_or_given(backend):
    x = tensor([[1.0]], backend)
    with pytest.raises(CaptureError, match="returns a set"):
        capture(lambda x: {x})(x)
    with pytest.raises(CaptureError, match="not a object"):
        capture(lambda x, other: x)(x, object())
    with pytest.raises(CaptureError, match="nothing to capture"):
        capture(lambda: 3)()


# Indices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1, 5])
def test_labels_out_of_range(backend, wrong):
    setting = Setting(backend)
    step = capture(setting.step)
    labels = setting.labels.numpy()
    for _ in range(3):
        step(setting.x, setting.labels)
    before = setting.state()
    labels[3] = wrong
    with pytest.raises(IndexRangeError, match=f"index {wrong} at position 3 is outside 0 … 4"):
        step(setting.x, setting.labels.like_indices(labels))
    for name, values in setting.state().items():
        np.testing.assert_array_equal(values, before[name])


def test_row_numbers_that_a_step_closes_over(backend):
    x = tensor([[1.0], [2.0], [3.0]], backend)
    chosen = x.like_indices([0, 2])
    step = capture(lambda x: x.take_rows(chosen))
    assert step(x).tolist() == [[1.0], [3.0]]
    for numbers, expected in (([1, 1], [[2.0], [2.0]]), ([2, 0], [[3.0], [1.0]])):
        chosen.assign(chosen.like_indices(numbers))
        assert step(x).tolist() == expected
    chosen.assign(chosen.like_indices([0, 3]))
    with pytest.raises(IndexRangeError, match="index 3"):
        step(x)


@pytest.mark.parametrize("how", ["joined", "assigned"])
def test_row_numbers_out_of_range_on_their_way(backend, how):
    table = tensor(np.arange(5.0)[:, None], backend)
    place = table.like_indices([0, 0])

    def step(labels, x):
        if how == "joined":
            return table.take_rows(ops.concat(labels, x.argmax(axis=1), axis=0))
        place.assign(labels)
        return table.take_rows(place)

    captured, x = capture(step), tensor([[1.0, 5.0]], backend)
    for _ in range(3):
        assert captured(table.like_indices([2, 4]), x).tolist()[:2] == [[2.0], [4.0]]
    with pytest.raises(IndexRangeError, match="index 7"):
        captured(table.like_indices([7, 1]), x)
    assert captured(table.like_indices([1, 0]), x).tolist()[:2] == [[1.0], [0.0]]


def test_positions_that_are_computed(backend):
    x = tensor([[1.0, 5.0], [3.0, 2.0]], backend)
    step = capture(lambda x: x.take_rows(x.argmax(axis=1)))
    for _ in range(3):
        assert step(x).tolist() == [[3.0, 2.0], [1.0, 5.0]]
    with pytest.raises(CaptureError, match="nothing bounds"):
        capture(lambda x: x.take_rows(ops.argmax(x)))(tensor([[1.0, 5.0], [3.0, 2.0]], backend))
