"""Nothing that a user can hold is memory that something else computes with; a write that would matter is refused."""

import threading

import numpy as np
import pytest

from pycrograd_core import Tensor, define_op, grad, no_grad, ops
from pycrograd_core.errors import DtypeError, GradientError, IndexRangeError, InPlaceError, PluginError, ShapeError
from pycrograd_core.op import undefine


@pytest.fixture
def defined():
    """Defines ops that are gone after the test."""
    names = []

    def define(name, **fields):
        names.append(name)
        return define_op(name, "An op of a test.", **fields)

    yield define
    for name in names:
        undefine(name)


def test_a_hook_that_writes_to_its_gradient_changes_no_other(leaf):
    a, b, z = leaf(2.0), leaf(3.0), leaf(5.0)
    a.register_hook(lambda g: g.assign([[0.0]]))
    (a + b).backward()
    (z * z).backward()
    assert (a.grad.item(), b.grad.item(), z.grad.item()) == (0.0, 1.0, 10.0)
    assert (1.0 - z).item() == -4.0


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_are_values_of_their_own(create_graph, leaf):
    a, b, z = leaf(2.0), leaf(3.0), leaf(5.0)
    (a + b).backward(create_graph=create_graph)
    assert a.grad is not b.grad
    with no_grad():
        a.grad.value.assign(leaf(9.0).value)
    assert b.grad.item() == 1.0
    assert (1.0 - z).item() == -4.0
    assert grad(z * 1.0, [z])[0].item() == 1.0


def test_a_result_that_is_overwritten_is_noticed(leaf):
    x = leaf([[2.0]])
    y = x.exp()
    y.detach().assign([[0.0]])
    with pytest.raises(InPlaceError, match="the result of exp was overwritten after exp returned it"):
        y.backward()


def test_a_write_is_not_forgotten_when_the_value_is_wrapped_again(leaf):
    x = leaf(3.0)
    y = x * x
    with no_grad():
        x.assign(100.0)
    Tensor.of(x.value)
    ops.add(x.detach(), x.value)
    with pytest.raises(InPlaceError):
        y.backward()


def test_an_op_that_returns_its_operand_returns_a_copy(leaf, defined):
    x = leaf([[1.0, 2.0]])
    reverse = defined("reverse", gradients=(lambda g, y, x: -g,), decomposition=lambda x: x)
    results = [ops.pad(x, above=0, below=0, left=0, right=0), reverse(x)]
    with no_grad():
        x.assign([[7.0, 7.0]])
    assert all(y.tolist() == [[1.0, 2.0]] for y in results)
    reverse(x).sum().backward()
    assert x.grad.tolist() == [[-1.0, -1.0]]


@pytest.mark.parametrize("name", ["identity", "number", "assign", "rows", "kernels", "backend"])
def test_an_op_cannot_have_the_name_of_a_matrix_attribute(name, backend):
    with pytest.raises(PluginError, match="an op cannot be called"):
        define_op(name, "A name that is taken.", decomposition=lambda x: x)


def test_an_op_can_be_defined_again_on_purpose(leaf, defined):
    defined("again", decomposition=lambda x: x * 2.0)
    with pytest.raises(PluginError, match="replace=True"):
        define_op("again", "Once more.", decomposition=lambda x: x * 3.0)
    again = define_op("again", "Once more.", decomposition=lambda x: x * 3.0, replace=True)
    assert again(leaf(1.0)).item() == 3.0


@pytest.mark.parametrize("returned", [1.0, "no gradient", np.ones((1, 1))])
def test_a_rule_that_returns_no_tensor_is_named(returned, leaf, defined):
    op = defined("odd", gradients=(lambda g, y, x: returned,), decomposition=lambda x: x * 2.0)
    with pytest.raises(GradientError, match="the gradient rule of odd for input 0 returned"):
        op(leaf(1.0)).backward()


def test_a_rule_may_return_none(leaf, defined):
    op = defined("flat", gradients=(lambda g, y, x: None,), decomposition=lambda x: x * 2.0)
    x = leaf(3.0)
    (op(x) + x).backward()
    assert x.grad.item() == 1.0


def test_subclasses_are_tensors(dtype):
    class Parameter(Tensor):
        __slots__ = ()

    w = Parameter([[3.0]], requires_grad=True, dtype=dtype)
    (w * w + w).backward()
    assert w.grad.item() == 7.0


def test_equality_is_by_element_and_hashing_by_identity(leaf):
    x = leaf([[1.0, 0.0, 2.0]])
    assert (x == 0).tolist() == [[0.0, 1.0, 0.0]]
    assert (x != 0).tolist() == [[1.0, 0.0, 1.0]]
    assert ops.where(x == 0, 9.0, x).tolist() == [[1.0, 9.0, 2.0]]
    assert (x == None, x == "x", x != None) == (False, False, True)  # noqa: E711
    assert len({leaf(1.0), leaf(1.0)}) == 2


# Writing in place ----------------------------------------------------------------------------------------------------


def test_updates_are_validated_like_everything_else(dtype):
    other = {"float32": "float64", "float64": "float32"}[dtype]
    target = Tensor(np.ones((2, 3)), dtype=dtype)
    with pytest.raises(DtypeError):
        target.update(ops.add, target.new_full(2, 3, 1.0).to(dtype=other) if other else target)
    with pytest.raises(ShapeError):
        Tensor(np.ones((1, 3)), dtype=dtype).update(ops.add, target)
    with pytest.raises(IndexRangeError):
        target.update(ops.add_rows, target.like_indices([-1]), Tensor([[1.0, 1.0, 1.0]], dtype=dtype))
    with pytest.raises(DtypeError):
        target.like_indices([1, 2]).update(ops.add, target.like_indices([1, 2]))
    assert target.tolist() == [[1.0] * 3] * 2


def test_ops_without_out_can_update_too(dtype):
    square = Tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    square.update(ops.transpose)
    assert square.tolist() == [[1.0, 3.0], [2.0, 4.0]]


@pytest.mark.parametrize("name", ["sgd_update", "accumulate", "adam_update"])
def test_updates_of_large_values_equal_their_decomposition(name, backend):
    """A backend may work on them block by block."""
    op, numbers = ops.TABLE[name], np.random.default_rng(0)
    count, scalars, params = {
        "sgd_update": (2, 1, {}),
        "accumulate": (2, 0, {"decay": 0.9, "weight": 0.3}),
        "adam_update": (3, 3, {"epsilon": 1e-8}),
    }[name]
    arrays = [numbers.uniform(0.1, 1, (259, 257)) for _ in range(count)] + [np.full((1, 1), 0.3)] * scalars
    inputs = [Tensor(array).value for array in arrays]
    expected = op.decomposition(*inputs, **params)
    inputs[0].update(op, inputs, params)
    np.testing.assert_allclose(Tensor.of(inputs[0]).numpy(), Tensor.of(expected).numpy(), rtol=1e-5, atol=1e-6)


def test_threads_that_share_a_parameter_lose_no_gradient(backend):
    w = Tensor(1.0, requires_grad=True)

    def work():
        for _ in range(100):
            (w * 1.0).backward()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.grad.item() == 800.0


def test_a_pass_that_fails_changes_no_gradient(leaf):
    a, b = leaf(1.0), leaf(2.0)
    inner = a * b
    inner.retain_grad()

    def fail(g):
        raise ZeroDivisionError

    b.register_hook(fail)
    with pytest.raises(ZeroDivisionError):
        inner.backward()
    assert (a.grad, b.grad, inner.grad) == (None, None, None)


def test_grad_runs_only_what_leads_to_its_inputs(leaf):
    a, b = leaf(2.0), leaf(3.0)
    seen = []
    b.register_hook(seen.append)
    assert grad(a * b * a, [a])[0].item() == 12.0
    assert seen == []
    with pytest.raises(GradientError, match="a list of tensors"):
        grad(a * b, a)


def test_hooks_keep_their_places(leaf):
    x, seen = leaf(1.0), []
    x.register_hook(lambda g: seen.append(0))
    remove = x.register_hook(lambda g: seen.append(1))
    remove()
    x.register_hook(lambda g: seen.append(2))
    remove()
    x.sum().backward()
    assert seen == [0, 2]


def test_no_grad_can_be_entered_again(leaf):
    mode, x = no_grad(), leaf(1.0)
    with mode, mode:
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad
