"""Activation functions, and dropout."""

from __future__ import annotations

import math
from typing import Any

from pycrograd_core.op import Op, define

from .elementwise import clip, exp, greater, maximum, multiply, tanh, where
from .samples import Choice, Sample, Uniform, unary
from .shapes import elementwise, same

relu = define(
    "relu",
    "max(x, 0); the gradient at 0 is 0.",
    same,
    (lambda g, y, x: relu_gradient(g, y),),
    samples=unary(),
    decomposition=lambda x: maximum(x, 0.0),
)
relu_gradient: Op = define(
    "relu_gradient",
    "The gradient of relu: g where its output y is positive, else 0.",
    elementwise,
    samples=(Sample((Uniform(3, 5), Uniform(3, 5))),),
    decomposition=lambda g, y: where(greater(y, 0.0), g, 0.0),
)
sigmoid = define(
    "sigmoid",
    "1 / (1 + e⁻ˣ).",
    same,
    (lambda g, y, x: g * y * (1.0 - y),),
    samples=unary(-4, 4),
    decomposition=lambda x: 1.0 / (1.0 + exp(-x)),
)

_GELU_SCALE = math.sqrt(2 / math.pi)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + tanh(_GELU_SCALE * (x + 0.044715 * x * x * x)))


def _gelu_rule(g: Any, y: Any, x: Any) -> Any:
    x = clip(x, low=-10.0, high=10.0)  # beyond, tanh is ±1, and its vanishing slope times an infinite cube would be nan
    t = tanh(_GELU_SCALE * (x + 0.044715 * x * x * x))
    inner = _GELU_SCALE * (1.0 + 3 * 0.044715 * x * x)
    return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)


gelu = define(
    "gelu",
    "Gaussian error linear unit, in the tanh form of Hendrycks and Gimpel (arXiv 1606.08415).",
    same,
    (_gelu_rule,),
    samples=unary(-3, 3),
    decomposition=_gelu,
)
dropout: Op = define(
    "dropout",
    "x · keep / (1 - rate), for a mask `keep` of 0s and 1s that the core draws (Srivastava et al. 2014).",
    elementwise,
    (lambda g, y, x, keep, rate: dropout(g, keep, rate=rate), None),
    samples=(Sample((Uniform(3, 5), Choice(3, 5)), {"rate": 0.25}),),
    decomposition=lambda x, keep, rate: multiply(x, keep * (1.0 / (1.0 - rate))),
)
