"""The engine: what it computes, how often, what it keeps alive, and what it refuses."""

import gc
import threading
import weakref

import numpy as np
import pytest

from pycrograd_core import Tensor, define_op, enable_grad, grad, gradcheck, no_grad, ops
from pycrograd_core.errors import (
    DtypeError,
    GradcheckError,
    GradientError,
    GraphFreedError,
    InPlaceError,
    PluginError,
    ShapeError,
)
from pycrograd_core.op import TABLE, Op, undefine
from pycrograd_core.ops.samples import unary


@pytest.fixture
def define():
    """`define_op` for ops that are gone after the test."""
    before = set(TABLE)
    yield define_op
    for name in TABLE.keys() - before:
        undefine(name)


def scalar(value, requires_grad=True):
    return Tensor([[value]], requires_grad)


def slope(y, *inputs):
    y.backward()
    return [x.grad.item() for x in inputs]


# Values ------------------------------------------------------------------------------------------------------------

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


# Freed graphs ------------------------------------------------------------------------------------------------------


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


# Higher orders -----------------------------------------------------------------------------------------------------


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


# grad() ------------------------------------------------------------------------------------------------------------


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


# Hooks and kept gradients ------------------------------------------------------------------------------------------


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


# no_grad -----------------------------------------------------------------------------------------------------------


def recorded(x):
    return (x * 2.0).requires_grad


def test_no_grad_as_a_context_nested_and_left_by_an_exception(backend):
    x = scalar(1.0)
    with no_grad():
        assert not recorded(x)
        with enable_grad():
            assert recorded(x)
            with no_grad():
                assert not recorded(x)
            assert recorded(x)
        assert not recorded(x)
        with no_grad():
            pass
        assert not recorded(x)
    assert recorded(x)
    with pytest.raises(ZeroDivisionError), no_grad():
        _ = 1 / 0
    assert recorded(x)


def test_no_grad_as_a_decorator_of_a_function_that_calls_itself(backend):
    x, seen = scalar(1.0), []

    @no_grad()
    def count(n):
        seen.append(recorded(x))
        if n:
            count(n - 1)
            seen.append(recorded(x))
        else:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        count(2)
    assert not any(seen)
    assert recorded(x)


def test_no_grad_is_of_its_thread(backend):
    x, seen = scalar(1.0), {}
    with no_grad():
        thread = threading.Thread(target=lambda: seen.update(other=recorded(x)))
        thread.start()
        thread.join()
        seen["this"] = recorded(x)
    assert seen == {"other": True, "this": False}


def test_threads_differentiate_side_by_side(backend):
    """Each its own graph, over a leaf that all share."""
    shared, found = scalar(2.0), {}

    def work(number):
        x = Tensor.of(backend.full(1, 1, number, "float32"), True)
        y = x
        for _ in range(200):
            y = y * 0.5 + x * shared
        found[number] = [g.item() for g in grad(y, [x])]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [4.0] for number in range(8)}


# Ops of one's own --------------------------------------------------------------------------------------------------


def cube(x):
    return x * x * x


def test_an_op_with_a_gradient_rule(define, leaf):
    op = define("cube", "x³.", ops.shapes.same, (lambda g, y, x: g * 3.0 * x * x,), samples=unary(), decomposition=cube)
    x = leaf([[2.0, -1.0]])
    y = op(x)
    assert y.node.op is op
    assert op is ops.TABLE["cube"]
    (first,) = grad(y, [x], [[1.0, 1.0]], create_graph=True)
    assert (y.tolist(), first.tolist()) == ([[8.0, -1.0]], [[12.0, 3.0]])
    assert grad(first.sum(), [x])[0].tolist() == [[12.0, -6.0]]


def test_an_op_with_only_a_decomposition_is_differentiated_through_it(define, leaf):
    op = define("cube", "x³.", decomposition=cube)
    x = leaf([[2.0]])
    y = op(x)
    assert y.node.op is ops.multiply
    assert slope(y, x) == [12.0]
    assert op(x.value).shape == (1, 1)


def test_an_op_without_a_rule_for_an_input_is_refused_when_it_is_recorded(define, leaf):
    op = define(
        "product", "a · b.", ops.shapes.elementwise, (lambda g, y, a, b: g * b,), decomposition=lambda a, b: a * b
    )
    a, b = leaf([[2.0]]), leaf([[3.0]])
    for first, second in ((a, b), (a.detach(), b)):
        with pytest.raises(GradientError, match="product has no gradient rule for input 1"):
            op(first, second)
    assert slope(op(a, b.detach()), a) == [3.0]
    with no_grad():
        assert op(a, b).item() == 6.0


def test_a_rule_that_returns_another_shape_is_refused(define, leaf):
    op = define("odd", "x.", ops.shapes.same, (lambda g, y, x: g.T,), decomposition=lambda x: x * 1.0)
    with pytest.raises(ShapeError, match=r"odd.*the gradient rule returned a shape unlike its input's"):
        op(leaf([[1.0, 2.0]])).sum().backward()


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"name": "exp", "decomposition": cube}, "'exp' is defined twice"), ({"name": "nothing"}, "needs a shape rule")],
)
def test_ops_that_cannot_be_defined(fields, message):
    with pytest.raises(PluginError, match=message):
        define_op(summary="x.", **fields)
    assert isinstance(TABLE["exp"], Op)
    assert "nothing" not in TABLE


# Writing in place --------------------------------------------------------------------------------------------------


def test_only_leaves_outside_the_graph_are_assigned_to(leaf):
    x = leaf([[2.0]])
    with pytest.raises(InPlaceError, match=r"assign to it inside no_grad\(\)"):
        x.assign([[3.0]])
    y = x * 1.0
    with pytest.raises(InPlaceError, match="only leaves can be assigned to"), no_grad():
        y.assign([[3.0]])
    with pytest.raises(InPlaceError, match="only leaves can be assigned to"), no_grad():
        y.update(ops.exp)
    with pytest.raises(InPlaceError, match=r"inside no_grad\(\)"):
        x.update(ops.exp)
    with no_grad():
        x.assign([[3.0]])
    x.detach().assign(Tensor([[4.0]], dtype=x.dtype))
    assert x.item() == 4.0


WRITES = {
    "assign": lambda x: x.assign([[9.0]]),
    "update": lambda x: x.update(ops.sgd_update, x.like([[1.0]]), x.like([[0.5]])),
    "through a detached tensor": lambda x: x.detach().assign([[9.0]]),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("detached", [False, True], ids=["used", "used detached"])
def test_a_write_after_use_is_refused_by_the_backward_pass(write, detached, leaf):
    x, w = leaf([[2.0]]), leaf([[3.0]])
    y = x * (w.detach() if detached else w)
    with no_grad():
        write(w)
    with pytest.raises(InPlaceError, match="input 1 of multiply was overwritten after multiply used it"):
        y.backward()
    assert x.grad is None
    assert slope(x * w, x) == [w.item()], "a graph made after the write is right"


def test_a_write_before_use_is_fine(leaf):
    x = leaf([[2.0]])
    with no_grad():
        x.assign([[5.0]])
    assert slope(x * x, x) == [10.0]


def test_assign_keeps_shape_dtype_and_place(leaf, dtype):
    x = leaf([[2.0, 3.0]])
    with no_grad():
        with pytest.raises(ShapeError, match=r"assign\(1×2, 2×1\)"):
            x.assign([[1.0], [2.0]])
        with pytest.raises(DtypeError, match=f"assign: {dtype} and int32 do not mix"):
            x.assign(Tensor([[1, 2]], dtype="int32"))
    assert x.tolist() == [[2.0, 3.0]]


# Memory and depth --------------------------------------------------------------------------------------------------


def test_a_graph_dies_with_its_result(leaf):
    """Reference counts alone free a graph: there are no cycles, and the engine keeps nothing."""
    x = leaf([[2.0]])
    gc.disable()
    try:
        inner = x * x
        y = inner.exp() + inner
        alive = weakref.ref(inner)
        del inner, y
        assert alive() is None
    finally:
        gc.enable()


def test_values_are_released_as_the_backward_pass_goes_on(define, leaf):
    """When a rule runs, all between its node and the result is gone already, though the result is still held."""
    alive, found = [], []

    def rule(g, y, x):
        found.append(sum(each() is not None for each in alive))
        return g

    op = define("watched", "x.", ops.shapes.same, (rule,), decomposition=lambda x: x * 1.0)
    y = leaf([[2.0]])
    for _ in range(10):
        y = op(y)
        alive.append(weakref.ref(y))
    y.backward()
    assert found == [10, *(node + 1 for node in range(9, 0, -1))]
    assert [each() is not None for each in alive] == [False] * 9 + [True]


def test_a_refused_pass_leaves_nothing_behind(leaf):
    x = leaf([[2.0]])
    inner = x * x
    alive = weakref.ref(inner)
    y = inner * 1.0
    y.register_hook(lambda g: 1.0)
    with pytest.raises(GradientError):
        y.backward()
    del inner, y
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("length", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_long_chain_is_run_and_deleted_without_recursion(length):
    y = x = scalar(1.0)
    for _ in range(length):
        y = -y
    y.backward(retain_graph=True)
    assert x.grad.item() == (-1.0) ** length
    del y


# gradcheck ---------------------------------------------------------------------------------------------------------


def test_gradcheck_finds_a_wrong_element_and_names_it(define, exact):
    wrong = define(
        "wrong", "x².", ops.shapes.same, (lambda g, y, x: 2.0 * x * g * (1.0 + ops.greater(x, 1.9) * 0.01),),
        decomposition=lambda x: x * x,
    )  # fmt: skip
    right = Tensor([[1.0, 1.5]], requires_grad=True, dtype="float64")
    gradcheck(wrong, [right])
    with pytest.raises(GradcheckError, match=r"input 0 \(1×2\), element \[0, 1\]: .*1 of 2 elements differ"):
        gradcheck(wrong, [Tensor([[1.0, 2.0]], requires_grad=True, dtype="float64")])


def test_gradcheck_needs_float64_and_something_to_check(exact):
    with pytest.raises(DtypeError, match="gradcheck needs float64 inputs; input 0 is float32"):
        gradcheck(ops.exp, [scalar(1.0)])
    with pytest.raises(GradcheckError, match="nothing to check"):
        gradcheck(ops.exp, [Tensor([[1.0]], dtype="float64")])
