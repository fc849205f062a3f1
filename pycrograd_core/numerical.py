"""Numerical checks of gradients, first and second order, in float64.

An analytic gradient is compared, element by element, with central differences, whose error at the default step is about
1e-9. With PyTorch's default tolerances a wrong formula does not pass; in float32 it could, so float32 is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .autograd import grad, no_grad
from .errors import DtypeError, GradcheckError
from .random import RandomStream
from .tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Function = Callable[..., Tensor]


def gradcheck(
    function: Function, inputs: Sequence[Tensor], *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3
) -> None:
    """Check the gradient of `function(*inputs)` with respect to every input that requires one.

    An output that is not 1×1 is weighted by fixed random numbers. Raises GradcheckError at the first element where
    |analytic - numerical| > atol + rtol · |numerical|, DtypeError for inputs that are not float64.
    """
    checked = [(position, x) for position, x in enumerate(inputs) if x.requires_grad]
    if not checked:
        raise GradcheckError("no input requires a gradient, so there is nothing to check")
    for position, x in checked:
        if x.dtype != "float64":
            raise DtypeError(f"gradcheck needs float64 inputs; input {position} is {x.dtype}")
    output = function(*inputs)
    weights = _weights(output)
    analytic = grad(output, [x for _, x in checked], weights, allow_unused=True)
    for (position, x), gradient in zip(checked, analytic, strict=True):
        numerical = _central_differences(function, inputs, position, weights.numpy(), eps)
        _compare(position, x, gradient.numpy(), numerical, atol, rtol)


def gradgradcheck(
    function: Function, inputs: Sequence[Tensor], *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3
) -> None:
    """Check the second derivatives: `gradcheck` of the function's gradient.

    That gradient depends on the inputs and on what it is weighted by, the incoming gradient; both are checked.
    """
    wanted = [position for position, x in enumerate(inputs) if x.requires_grad]
    with no_grad():
        weights = _weights(function(*inputs))
    weights.requires_grad = True

    def gradients(*arguments: Tensor) -> Tensor:
        *arguments_alone, incoming = arguments
        found = grad(
            function(*arguments_alone),
            [arguments_alone[i] for i in wanted],
            incoming,
            create_graph=True,
            allow_unused=True,
        )
        total = None
        for number, each in enumerate(found):
            part = (each * _weights(each, number + 1)).sum()
            total = part if total is None else total + part
        assert isinstance(total, Tensor)
        return total

    gradcheck(gradients, [*inputs, weights], eps=eps, atol=atol, rtol=rtol)


def _weights(output: Tensor, number: int = 0) -> Tensor:
    """Fixed numbers in [0.5, 1.5) in the shape of a tensor: each element counts, and none like another."""
    values = RandomStream(0, "gradcheck", number).uniform(output.rows * output.cols, 0.5, 1.5)
    return output.like(values.reshape(output.shape))


def _central_differences(
    function: Function, inputs: Sequence[Tensor], position: int, weights: NDArray[Any], eps: float
) -> NDArray[Any]:
    x = inputs[position]
    host = x.numpy()
    numerical = host.copy()

    def weighted(values: NDArray[Any]) -> float:
        moved = [*inputs[:position], _leaf(x, values), *inputs[position + 1 :]]
        return float((function(*moved).numpy() * weights).sum())

    for row, col in ((row, col) for row in range(x.rows) for col in range(x.cols)):
        shifted = host.copy()
        shifted[row, col] += eps
        above = weighted(shifted)
        shifted[row, col] -= 2 * eps
        numerical[row, col] = (above - weighted(shifted)) / (2 * eps)
    return numerical


def _leaf(like: Tensor, values: NDArray[Any]) -> Tensor:
    leaf = like.like(values)
    leaf.requires_grad = True  # the function may differentiate inside
    return leaf


def _compare(
    position: int, x: Tensor, analytic: NDArray[Any], numerical: NDArray[Any], atol: float, rtol: float
) -> None:
    import numpy as np

    wrong = np.argwhere(~(np.abs(analytic - numerical) <= atol + rtol * np.abs(numerical)))
    if len(wrong):
        row, col = wrong[0]
        raise GradcheckError(
            f"input {position} ({x.rows}×{x.cols}), element [{row}, {col}]: analytic {analytic[row, col]:.9g}, "
            f"numerical {numerical[row, col]:.9g}; {len(wrong)} of {analytic.size} elements differ"
        )
