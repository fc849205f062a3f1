"""Initialisers of weight matrices, in × out.

Kaiming (He et al., arXiv 1502.01852) keeps the variance of activations through relu layers, Xavier (Glorot and Bengio,
AISTATS 2010) through symmetric ones. `fan_in`, the number of inputs of a unit, is the default: it keeps the forward
pass; `fan_out` keeps the backward pass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycrograd_core.random import RandomStream

    Initialiser = Callable[[RandomStream, int, int], NDArray[np.float32]]

Fan = Literal["fan_in", "fan_out"]
InitialiserName = Literal["kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"]


def kaiming_deviation(fan_in: int, fan_out: int, fan: Fan = "fan_in") -> float:
    """√(2 / fan): the standard deviation of a weight before a relu."""
    return math.sqrt(2 / max(1, fan_in if fan == "fan_in" else fan_out))


def xavier_deviation(fan_in: int, fan_out: int) -> float:
    """√(2 / (fan_in + fan_out)): the standard deviation of a weight before a symmetric activation."""
    return math.sqrt(2 / max(1, fan_in + fan_out))


def kaiming_uniform(stream: RandomStream, fan_in: int, fan_out: int, fan: Fan = "fan_in") -> NDArray[np.float32]:
    """fan_in × fan_out weights, uniform in ±√3 times the Kaiming deviation."""
    return _uniform(stream, fan_in, fan_out, kaiming_deviation(fan_in, fan_out, fan))


def kaiming_normal(stream: RandomStream, fan_in: int, fan_out: int, fan: Fan = "fan_in") -> NDArray[np.float32]:
    """fan_in × fan_out weights, normal with mean 0 and the Kaiming deviation."""
    return _normal(stream, fan_in, fan_out, kaiming_deviation(fan_in, fan_out, fan))


def xavier_uniform(stream: RandomStream, fan_in: int, fan_out: int) -> NDArray[np.float32]:
    """fan_in × fan_out weights, uniform in ±√3 times the Xavier deviation."""
    return _uniform(stream, fan_in, fan_out, xavier_deviation(fan_in, fan_out))


def xavier_normal(stream: RandomStream, fan_in: int, fan_out: int) -> NDArray[np.float32]:
    """fan_in × fan_out weights, normal with mean 0 and the Xavier deviation."""
    return _normal(stream, fan_in, fan_out, xavier_deviation(fan_in, fan_out))


INITIALISERS: dict[InitialiserName, Initialiser] = {
    "kaiming_uniform": kaiming_uniform,
    "kaiming_normal": kaiming_normal,
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
}


def _uniform(stream: RandomStream, rows: int, cols: int, deviation: float) -> NDArray[np.float32]:
    bound = math.sqrt(3) * deviation
    return stream.uniform(rows * cols, -bound, bound).reshape(rows, cols)


def _normal(stream: RandomStream, rows: int, cols: int, deviation: float) -> NDArray[np.float32]:
    return stream.normal(rows * cols, 0.0, deviation).reshape(rows, cols)
