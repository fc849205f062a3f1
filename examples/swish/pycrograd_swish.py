"""Swish, or SiLU: an op with its gradient.

Ramachandran, Zoph and Le, arXiv 1710.05941; Hendrycks and Gimpel, arXiv 1606.08415.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycrograd_core import define_op, ops
from pycrograd_core.ops import Op
from pycrograd_core.ops.samples import unary
from pycrograd_core.ops.shapes import same
from pycrograd_core.plugins import hookimpl


def rule(g: Any, y: Any, x: Any) -> Any:
    """The gradient of x · s is s + x · s · (1 - s), for s = sigmoid(x)."""
    s = ops.sigmoid(x)
    return g * (s + y * (1.0 - s))


swish = define_op(
    "swish",
    "x · sigmoid(x).",
    same,
    (rule,),
    samples=unary(-4, 4),
    decomposition=lambda x: x * ops.sigmoid(x),
)


@hookimpl
def pycrograd_register_ops() -> Sequence[Op]:
    """The op, for `pycrograd check`."""
    return [swish]
