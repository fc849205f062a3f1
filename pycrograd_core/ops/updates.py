"""The arithmetic of optimisers. `rate` and the corrections are 1×1 values, so a schedule changes no program."""

from __future__ import annotations

from typing import Any

from pycrograd_core.op import define

from .elementwise import divide, sqrt
from .samples import Sample, Uniform
from .shapes import updated

_PAIR = (Uniform(3, 4), Uniform(3, 4))

sgd_update = define(
    "sgd_update",
    "w - rate · g.",
    updated(2),
    samples=(Sample((*_PAIR, Uniform(1, 1, 0.01, 0.1))),),
    decomposition=lambda w, g, rate: w - rate * g,
)
accumulate = define(
    "accumulate",
    "old · decay + new · weight: momentum, weight decay and moving averages.",
    updated(2),
    samples=(Sample(_PAIR, {"decay": 0.9, "weight": 0.1}),),
    decomposition=lambda old, new, decay, weight: old * decay + (new if weight == 1.0 else new * weight),
)


def _adam_update(w: Any, mean: Any, square: Any, rate: Any, mean_share: Any, square_share: Any, epsilon: float) -> Any:
    return w - rate * divide(mean / mean_share, sqrt(square / square_share) + epsilon)


adam_update = define(
    "adam_update",
    "w - rate · m̂ / (√v̂ + ε), m̂ and v̂ corrected for their start at 0 (Kingma and Ba, arXiv 1412.6980).",
    updated(3),
    samples=(
        Sample(
            (*_PAIR, Uniform(3, 4, 0.1, 1), Uniform(1, 1, 0.01, 0.1), Uniform(1, 1, 0.1, 1), Uniform(1, 1, 0.1, 1)),
            {"epsilon": 1e-8},
        ),
    ),
    decomposition=_adam_update,
    tolerance=5e-6,
)
