"""Writes to values that a gradient still needs are refused, or noticed by the backward pass."""

import pytest

from pycrograd_core import Tensor, no_grad, ops
from pycrograd_core.errors import DtypeError, InPlaceError, ShapeError


def slope(y, *inputs):
    y.backward()
    return [x.grad.item() for x in inputs]


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
