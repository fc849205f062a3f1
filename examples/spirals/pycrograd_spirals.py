"""Spirals: points on arms that wind around each other, after the two spirals of Lang and Witbrock (1988)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from annotated_types import Ge, Gt

from pycrograd_core import RandomStream
from pycrograd_core.data import Dataset
from pycrograd_core.plugins import hookimpl


def spirals(
    samples: Annotated[int, Gt(0)] = 300,
    arms: Annotated[int, Gt(1)] = 3,
    turns: Annotated[float, Gt(0)] = 1.0,
    noise: Annotated[float, Ge(0)] = 0.02,
    *,
    seed: int,
) -> Dataset:
    """`samples` points in the plane (n × 2) within radius 1, labelled by the arm that they lie on.

    Each arm winds `turns` times; `noise` is the deviation that is added to each coordinate.
    """
    import numpy as np  # not at the top: whoever lists plugins should not wait for it

    stream = RandomStream(seed, "spirals")
    labels = np.arange(samples, dtype="int32") % arms
    radius = np.sqrt(stream.uniform(samples))
    angle = 2 * np.pi * (radius * turns + labels / arms)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    points += stream.normal(2 * samples, 0.0, noise).reshape(-1, 2)
    return Dataset("spirals", points.astype("float32"), labels, classes=arms)


@hookimpl
def pycrograd_register_datasets() -> Mapping[str, Callable[..., Dataset]]:
    """`data: {dataset: spirals, arms: 2}` in a configuration; the run supplies the seed."""
    return {"spirals": spirals}
