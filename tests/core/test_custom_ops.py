"""Ops of one's own, and how their gradients are checked."""

import pytest

from pycrograd_core import Tensor, define_op, grad, gradcheck, no_grad, ops
from pycrograd_core.errors import DtypeError, GradcheckError, GradientError, PluginError, ShapeError
from pycrograd_core.op import TABLE, Op
from pycrograd_core.ops.samples import unary


def scalar(value, requires_grad=True):
    return Tensor([[value]], requires_grad)


def slope(y, *inputs):
    y.backward()
    return [x.grad.item() for x in inputs]


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


# gradcheck -----------------------------------------------------------------------------------------------------------


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
