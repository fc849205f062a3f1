"""Two interleaved half circles: the smallest problem that a linear model cannot solve."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt

from .dataset import Dataset


def moons(samples: Annotated[int, Gt(0)] = 100, noise: Annotated[float, Ge(0)] = 0.1, *, seed: int) -> Dataset:
    """`samples` points in the plane (n × 2), half of them labelled 0 (the upper moon) and half 1 (the lower).

    `noise` is the deviation of the normal noise added to each coordinate; the moons have radius 1. The points are those
    of scikit-learn's `make_moons(samples, noise=noise, random_state=seed)`.
    """
    import numpy as np
    from sklearn.datasets import make_moons

    # scikit-learn takes seeds of 32 bits, the rest of a run takes any integer
    points, labels = make_moons(samples, shuffle=True, noise=noise, random_state=seed % 2**32)
    return Dataset("moons", points.astype(np.float32, order="C"), labels.astype(np.int32), classes=2)
