"""Ops that normalise each row: softmax, its logarithm, layer normalisation."""

from __future__ import annotations

from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.op import Mismatch, define

from .elementwise import exp, log, sqrt
from .reductions import max, mean, sum
from .samples import Sample, Uniform
from .shapes import along_axis


def _softmax(x: Any, axis: int = 1) -> Any:
    e = exp(x - max(x, axis=axis))
    return e / sum(e, axis=axis)


def _log_softmax(x: Any, axis: int = 1) -> Any:
    z = x - max(x, axis=axis)
    return z - log(sum(exp(z), axis=axis))


def _each_row(x: Any, axis: int = 1) -> tuple[int, ...] | None:
    return (0,) if axis == 1 else None


_ALONG = (Sample((Uniform(3, 5),), {"axis": 1}), Sample((Uniform(4, 3, -30, -20),), {"axis": 0}))

softmax = define(
    "softmax",
    "eˣ / Σ eˣ along each row (axis 1) or down each column (axis 0).",
    along_axis,
    (lambda g, y, x, axis=1: y * (g - sum(g * y, axis=axis)),),
    samples=_ALONG,
    decomposition=_softmax,
    tolerance=5e-6,
    row_inputs=_each_row,
)
log_softmax = define(
    "log_softmax",
    "The logarithm of softmax, without its underflow.",
    along_axis,
    (lambda g, y, x, axis=1: g - exp(y) * sum(g, axis=axis),),
    samples=_ALONG,
    decomposition=_log_softmax,
    tolerance=5e-6,
    row_inputs=_each_row,
)


def _layer_norm_shape(x: Any, weight: Any, bias: Any, epsilon: float) -> Shape:
    if weight.shape != (1, x.shape[1]) or bias.shape != (1, x.shape[1]):
        raise Mismatch(f"weight and bias must be 1×{x.shape[1]}, one number for each column")
    if x.shape[1] == 0:
        raise Mismatch("nothing to normalise: the mean of no elements is not defined")
    return x.shape


def _layer_norm(x: Any, weight: Any, bias: Any, epsilon: float) -> Any:
    centred = x - mean(x, axis=1)
    return centred / sqrt(mean(centred * centred, axis=1) + epsilon) * weight + bias


layer_norm = define(
    "layer_norm",
    "Each row to mean 0 and variance 1, then scaled and shifted by column (Ba et al., arXiv 1607.06450).",
    _layer_norm_shape,
    samples=(Sample((Uniform(3, 6), Uniform(1, 6, 0.5, 2), Uniform(1, 6)), {"epsilon": 1e-5}),),
    decomposition=_layer_norm,
    tolerance=1e-5,
    row_inputs=lambda x, weight, bias, epsilon: (0,),
)
