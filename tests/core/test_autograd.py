"""The engine: what it computes, how often, of which order, and what it refuses."""

import numpy as np
import pytest

from pycrograd_core import Tensor, grad, no_grad, ops
from pycrograd_core.errors import DtypeError, GradientError, GraphFreedError, ShapeError


def scalar(value, requires_grad=True):
    return Tensor([[value]], requires_grad)


def slope(y, *inputs):
    y.backward()
    return [x.grad.item() for x in inputs]


# Values --------------------------------------------------------------------------------------------------------------


GRAPHS = {  # y of one number, and dy/dx
    "a leaf": (lambda x: x, lambda x: 1.0),
    "used twice": (lambda x: x + x, lambda x: 2.0),
    "a shared inner node": (lambda x: (a := 3.0 * x) + a, lambda x: 6.0),
    "a shared inner node, three times": (lambda x: (a := x * x) * a + a, lambda x: 4 * x**3 + 2 * x),
    "a diamond": (lambda x: (a := x * x) and (a.exp() * (a + 1.0)), lambda x: 2 * x * np.exp(x * x) * (x * x + 2)),
    "diamonds in a row": (lambda x: (a := x + x) and (b := a + a) and (b + b), lambda x: 8.0),
    "a long and a short way": (lambda x: (((x * 2.0) * 2.0) * 2.0) * x, lambda x: 16 * x),
    "constants on both sides": (lambda x: 1.0 - (2.0 / x) ** 2 - x / 4.0, lambda x: 8 / x**3 - 0.25),
    "an unused branch": (lambda x: (x.exp().log(), x * 5.0)[1], lambda x: 5.0),
    "a part without gradient": (lambda x: x * x.detach(), lambda x: x),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_gradients_of_small_graphs(name, leaf, dtype):
    function, expected = GRAPHS[name]
    x = leaf([[0.7]])
    assert slope(function(x), x) == pytest.approx([expected(0.7)], rel=1e-5 if dtype == "float32" else 1e-12)


def test_gradients_accumulate_over_passes_and_are_forgotten(leaf):
    x = leaf([[2.0, 3.0]])
    (x * x).sum().backward()
    first = x.grad
    (x * 10.0).sum().backward()
    assert x.grad.tolist() == [[14.0, 16.0]]
    assert first.tolist() == [[4.0, 6.0]], "whoever holds the old gradient keeps it"
    x.zero_grad()
    assert x.grad is None


def test_each_rule_runs_once_however_often_a_node_is_used(define, backend):
    """2ⁿ paths lead through n diamonds in a row, but there are n nodes."""
    calls = []
    counted = define(
        "counted", "x.", ops.shapes.same, (lambda g, y, x: calls.append(1) or g,), decomposition=lambda x: x
    )
    y = x = scalar(1.0)
    for _ in range(60):
        y = counted(y) * 0.5
        y = y + y
    y.backward()
    assert len(calls) == 60
    assert x.grad.item() == 1.0


def test_an_output_that_is_not_a_number_needs_a_gradient(leaf):
    x = leaf([[1.0, 2.0]])
    with pytest.raises(GradientError, match=r"backward\(\) of a 1×2 tensor needs a gradient of that shape"):
        (x * x).backward()
    for gradient in (Tensor([[10.0, 1.0]], dtype=x.dtype), [[10.0, 1.0]], np.array([[10.0, 1.0]])):
        x.zero_grad()
        (x * x).backward(gradient)
        assert x.grad.tolist() == [[20.0, 4.0]]
        assert x.grad.dtype == x.dtype


def test_a_gradient_that_does_not_fit(leaf, dtype):
    y = leaf([[1.0], [2.0]]) * 2.0
    with pytest.raises(ShapeError, match=r"backward\(2×1, 1×2\)"):
        y.backward([[1.0, 2.0]])
    with pytest.raises(DtypeError, match=f"backward: a gradient in int32 of a tensor in {dtype}"):
        y.backward(Tensor([[1], [2]], dtype="int32"))


def test_nothing_to_differentiate(backend):
    with pytest.raises(GradientError, match="does not depend on any that requires a gradient"):
        (scalar(1.0, requires_grad=False) * 2.0).backward()
    with no_grad():
        y = scalar(1.0) * 2.0
    with pytest.raises(GradientError, match=r"outside no_grad\(\)"):
        y.backward()


# Freed graphs --------------------------------------------------------------------------------------------------------


def test_a_graph_is_freed_by_its_backward_pass(leaf):
    x = leaf([[3.0]])
    y = (x * x).exp().log()
    y.backward()
    with pytest.raises(GraphFreedError, match=r"log saved were freed .* retain_graph=True"):
        y.backward()
    assert x.grad.item() == pytest.approx(6.0), "a refused pass adds nothing"


def test_a_freed_part_of_another_graph(leaf):
    x = leaf([[3.0]])
    part = x * x
    (part * 2.0).backward()
    with pytest.raises(GraphFreedError, match="multiply saved were freed"):
        (part + 1.0).backward()
    assert x.grad.item() == 12.0


def test_retain_graph(leaf):
    x = leaf([[3.0]])
    y = x * x
    for passes in (1, 2, 3):
        y.backward(retain_graph=passes < 3)
        assert x.grad.item() == 6.0 * passes
    with pytest.raises(GraphFreedError):
        y.backward()


# Higher orders -------------------------------------------------------------------------------------------------------


def test_derivatives_to_the_third_order(leaf, dtype):
    x = leaf([[0.5, -1.5]])
    y, found = (x**4 + x.tanh()).sum(), []
    for _ in range(3):
        (first,) = grad(y, [x], create_graph=True)
        found.append(first.numpy())
        y = first.sum()
    v, t = x.numpy().astype("float64"), np.tanh(x.numpy().astype("float64"))
    expected = [4 * v**3 + 1 - t**2, 12 * v**2 - 2 * t * (1 - t**2), 24 * v - 2 * (1 - t**2) * (1 - 3 * t**2)]
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_backward_through_a_gradient(leaf):
    """The gradient penalty (dy/dx)²: its gradient by x is 2 (dy/dx) (d²y/dx²)."""
    x = leaf([[2.0]])
    (x * x * x).backward(create_graph=True)
    first, x.grad = x.grad, None
    (first * first).backward()
    assert x.grad.item() == 2 * 12.0 * 12.0


def test_create_graph_keeps_the_graph_unless_told_otherwise(leaf):
    x = leaf([[2.0]])
    y = x * x * x
    grad(y, [x], create_graph=True)
    grad(y, [x], create_graph=True, retain_graph=False)
    with pytest.raises(GraphFreedError):
        grad(y, [x])


def test_a_first_order_gradient_has_no_history(leaf):
    x = leaf([[2.0]])
    (x * x).backward()
    assert not x.grad.requires_grad
    assert x.grad.is_leaf


# grad() --------------------------------------------------------------------------------------------------------------


def test_grad_of_leaves_and_inner_nodes_touches_no_grad(leaf):
    x, w = leaf([[2.0]]), leaf([[5.0]])
    h = x * w
    y = h * h + x
    assert [g.item() for g in grad(y, [h, w, x, y], retain_graph=True)] == [20.0, 40.0, 101.0, 1.0]
    assert [g.item() for g in grad(y, [w, w], gradient=[[2.0]])] == [80.0, 80.0]
    assert x.grad is w.grad is h.grad is None


def test_unused_inputs(leaf):
    x, unused = leaf([[2.0]]), leaf([[1.0, 2.0]])
    with pytest.raises(GradientError, match="does not depend on input 1"):
        grad(x * x, [x, unused])
    by_x, by_unused = grad(x * x, [x, unused], allow_unused=True)
    assert (by_x.item(), by_unused.tolist(), by_unused.dtype) == (4.0, [[0.0, 0.0]], x.dtype)
    (zero,) = grad(x.detach() * 2.0, [x], allow_unused=True)
    assert zero.item() == 0.0
    with pytest.raises(GradientError):
        grad(x.detach() * 2.0, [x])


# Hooks and kept gradients --------------------------------------------------------------------------------------------


def test_hooks_on_leaves_and_inner_nodes_see_complete_gradients(leaf):
    x, seen = leaf([[2.0]]), []
    h = x * x
    x.register_hook(lambda g: seen.append(("x", g.item())))
    h.register_hook(lambda g: seen.append(("h", g.item())))
    (h + h * 3.0).backward()
    assert seen == [("h", 4.0), ("x", 16.0)]


def test_hooks_replace_gradients_in_the_order_of_their_registration(leaf):
    x = leaf([[2.0]])
    h = x * x
    h.register_hook(lambda g: g * 10.0)
    h.register_hook(lambda g: g + 1.0)
    x.register_hook(lambda g: -g)
    h.retain_grad()
    h.backward()
    assert h.grad.item() == 11.0
    assert x.grad.item() == -44.0


def test_hooks_are_removed(leaf):
    x, seen = leaf([[2.0]]), []
    first, second = (x.register_hook(lambda g, n=n: seen.append(n)) for n in (1, 2))
    first()
    first()
    (x * x).backward()
    third = x.register_hook(lambda g: seen.append(3))
    second()
    (x * x).backward()
    third()
    (x * x).backward()
    assert seen == [2, 3]


@pytest.mark.parametrize("wrong", [lambda g: 1.0, lambda g: [[1.0]], lambda g: g.sum(axis=0)])
def test_a_hook_that_returns_nonsense(wrong, leaf):
    x = leaf([[2.0], [3.0]])
    x.register_hook(wrong)
    with pytest.raises(GradientError, match="a gradient hook must return None or a 2×1 tensor"):
        (x * x).sum().backward()


def test_a_hook_needs_a_gradient_to_wait_for(backend):
    with pytest.raises(GradientError, match="would never be called"):
        scalar(1.0, requires_grad=False).register_hook(print)


def test_hooks_under_create_graph_are_differentiated(leaf):
    x = leaf([[3.0]])
    remove = x.register_hook(lambda g: g * g)
    (square,) = grad(x * x, [x], create_graph=True)
    remove()
    assert square.item() == 36.0
    assert grad(square, [x])[0].item() == 24.0


def test_retain_grad(leaf):
    x = leaf([[2.0]])
    kept, other = x * x, x * 3.0
    kept.retain_grad()
    (kept * other).backward()
    assert (kept.grad.item(), other.grad) == (6.0, None)


def test_gradients_share_memory_with_nothing(leaf):
    """Writing to one gradient in place changes no other, nor what a hook returned, nor a constant of the core."""
    a, b, c = leaf([[1.0]]), leaf([[1.0]]), leaf([[1.0]])
    seed, replacement = Tensor([[1.0]], dtype=a.dtype), Tensor([[7.0]], dtype=a.dtype)
    c.register_hook(lambda g: replacement)
    kept = (a + b) + (c + c)
    kept.retain_grad()
    kept.backward(seed)
    alone = leaf([[1.0]])
    alone.backward()
    found = [*grad(a + b, [a, b]), a.grad, b.grad, c.grad, kept.grad, alone.grad]
    for number, gradient in enumerate(found):
        gradient.assign([[100.0 + number]])
    assert [gradient.item() for gradient in found] == [100.0 + number for number in range(len(found))]
    assert (seed.item(), replacement.item(), (alone + 1.0).item()) == (1.0, 7.0, 2.0)
