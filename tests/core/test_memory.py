"""What a graph keeps alive, and how deep it may be."""

import gc
import weakref

import pytest

from pycrograd_core import Tensor, ops
from pycrograd_core.errors import GradientError


def scalar(value, requires_grad=True):
    return Tensor([[value]], requires_grad)


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
