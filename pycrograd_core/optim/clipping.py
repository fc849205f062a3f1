"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable

from pycrograd_core import ops
from pycrograd_core.autograd import no_grad
from pycrograd_core.errors import GradientError
from pycrograd_core.tensor import Tensor


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients so that their common Euclidean norm is at most `max_norm` (Pascanu et al. 2013).

    Returns the norm before clipping, 1×1, without waiting for the device.
    """
    if not max_norm > 0:
        raise GradientError(f"max_norm must be above 0, not {max_norm}")
    clipped = [parameter for parameter in parameters if parameter.grad is not None]
    if not clipped:
        raise GradientError("there are no gradients to clip: call backward() first")
    with no_grad():
        total = None
        for parameter in clipped:
            assert parameter.grad is not None
            square = (parameter.grad * parameter.grad).sum()
            total = square if total is None else total + square
        assert total is not None
        norm = total.sqrt()
        scale = ops.minimum(max_norm / (norm + 1e-12), 1.0)
        for parameter in clipped:
            assert parameter.grad is not None
            parameter.grad = parameter.grad * scale
    return norm
