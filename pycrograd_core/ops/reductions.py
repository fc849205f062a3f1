"""Reductions over rows (axis 0), over columns (axis 1) or over all (None). They keep two dimensions."""

from __future__ import annotations

from typing import Any

from pycrograd_core.op import INDEX_DTYPE, define

from .elementwise import equal, negative
from .layout import broadcast_to
from .samples import reduction
from .shapes import reduced, reduced_nonempty


def _count(x: Any, axis: int | None) -> int:
    rows, cols = x.shape
    count: int = {None: rows * cols, 0: rows, 1: cols}[axis]
    return count


def _elements(x: Any, axis: int | None = None) -> int:
    rows, cols = x.shape
    return rows * cols


def _each_row(x: Any, axis: int | None = None) -> tuple[int, ...] | None:
    return (0,) if axis == 1 else None


def _extreme(g: Any, y: Any, x: Any, axis: int | None = None) -> Any:
    chosen = equal(x, y)
    return g * (chosen / sum(chosen, axis=axis))


sum = define(
    "sum",
    "The sum.",
    reduced,
    (lambda g, y, x, axis=None: broadcast_to(g, rows=x.shape[0], cols=x.shape[1]),),
    samples=reduction(),
    flops=_elements,
    row_inputs=_each_row,
)
mean = define(
    "mean",
    "The mean.",
    reduced_nonempty,
    (lambda g, y, x, axis=None: broadcast_to(g * (1.0 / _count(x, axis)), rows=x.shape[0], cols=x.shape[1]),),
    samples=reduction(),
    decomposition=lambda x, axis=None: sum(x, axis=axis) * (1.0 / _count(x, axis)),
    row_inputs=_each_row,
)
max = define(
    "max",
    "The greatest element; equal ones share the gradient.",
    reduced_nonempty,
    (_extreme,),
    samples=reduction(-5, -1),
    flops=_elements,
    row_inputs=_each_row,
)
min = define(
    "min",
    "The least element; equal ones share the gradient.",
    reduced_nonempty,
    (_extreme,),
    samples=reduction(1, 5),
    decomposition=lambda x, axis=None: negative(max(negative(x), axis=axis)),
    row_inputs=_each_row,
)
argmax = define(
    "argmax",
    "The int32 position of the first greatest element.",
    reduced_nonempty,
    (None,),
    samples=reduction(-5, -1),
    flops=_elements,
    takes_out=False,
    row_inputs=_each_row,
    result_dtype=lambda x, axis=None: INDEX_DTYPE,
)
