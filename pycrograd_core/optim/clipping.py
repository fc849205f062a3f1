"""Gradient clipping."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

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
        gradients = [parameter.grad for parameter in clipped if parameter.grad is not None]
        greatest = ops.maximum(reduce(ops.maximum, [g.abs().max() for g in gradients]), 1e-30)
        squares = [((g / greatest) * (g / greatest)).sum() for g in gradients]  # no square overflows
        norm = greatest * reduce(ops.add, squares).sqrt()
        scale = ops.minimum(max_norm / norm, 1.0)
        for parameter, gradient in zip(clipped, gradients, strict=True):
            parameter.grad = gradient * scale
    return norm
