"""Matrix products."""

from __future__ import annotations

from typing import Any

from pycrograd_core.op import define

from .elementwise import add
from .reductions import sum
from .samples import Sample, Uniform
from .shapes import linear as linear_shape
from .shapes import product


def _matmul_a(g: Any, y: Any, a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    if transpose_a:
        return matmul(b, g, transpose_a=transpose_b, transpose_b=True)
    return matmul(g, b, transpose_b=not transpose_b)


def _matmul_b(g: Any, y: Any, a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    if transpose_b:
        return matmul(g, a, transpose_a=True, transpose_b=transpose_a)
    return matmul(a, g, transpose_a=not transpose_a)


def _products() -> tuple[Sample, ...]:
    m, k, n = 3, 4, 5
    return tuple(
        Sample((Uniform(*(k, m) if ta else (m, k)), Uniform(*(n, k) if tb else (k, n))), {
            "transpose_a": ta, "transpose_b": tb,
        })
        for ta in (False, True) for tb in (False, True)
    )  # fmt: skip


matmul = define(
    "matmul",
    "The matrix product of a (or aᵀ) and b (or bᵀ).",
    product,
    (_matmul_a, _matmul_b),
    samples=_products(),
    flops=lambda a, b, transpose_a=False, transpose_b=False: (
        2 * a.shape[0] * a.shape[1] * b.shape[0 if transpose_b else 1]
    ),
    row_inputs=lambda a, b, transpose_a=False, transpose_b=False: None if transpose_a else (0,),
)
linear = define(
    "linear",
    "x @ weight + bias, for x batch × in, weight in × out, bias 1 × out.",
    linear_shape,
    (
        lambda g, y, x, weight, bias: matmul(g, weight, transpose_b=True),
        lambda g, y, x, weight, bias: matmul(x, g, transpose_a=True),
        lambda g, y, x, weight, bias: sum(g, axis=0),
    ),
    samples=(Sample((Uniform(3, 4), Uniform(4, 5), Uniform(1, 5))),),
    decomposition=lambda x, weight, bias: add(matmul(x, weight), bias),
    flops=lambda x, weight, bias: x.shape[0] * weight.shape[1] * (2 * weight.shape[0] + 1),
    row_inputs=lambda x, weight, bias: (0,),
)
