"""Sample inputs of an op, in its domain: what its generated tests, gradient checks and the conformance kit draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.random import RandomStream


@dataclass(frozen=True)
class Uniform:
    """Floats, uniform in [low, high)."""

    rows: int
    cols: int
    low: float = -2.0
    high: float = 2.0

    def draw(self, stream: RandomStream) -> NDArray[Any]:
        """The values, rows × cols, float64 (each also a float32, so that both dtypes see the same numbers)."""
        values = stream.uniform(self.rows * self.cols, self.low, self.high)
        return values.astype("float64").reshape(self.rows, self.cols)


@dataclass(frozen=True)
class Indices:
    """Row numbers or labels below `bound`, n × 1."""

    count: int
    bound: int

    def draw(self, stream: RandomStream) -> NDArray[Any]:
        """The indices, count × 1, int32."""
        return (stream.uniform(self.count) * self.bound).astype("int32").reshape(-1, 1)


@dataclass(frozen=True)
class Choice:
    """Floats drawn from a few values: masks of 0s and 1s, targets of -1 and 1."""

    rows: int
    cols: int
    values: tuple[float, ...] = (0.0, 1.0)

    def draw(self, stream: RandomStream) -> NDArray[Any]:
        """The values, rows × cols, float64."""
        import numpy as np

        chosen = (stream.uniform(self.rows * self.cols) * len(self.values)).astype("int32")
        values: NDArray[Any] = np.array(self.values)[chosen].reshape(self.rows, self.cols)
        return values


@dataclass(frozen=True)
class Sample:
    """One set of inputs and parameters."""

    inputs: tuple[Uniform | Indices | Choice, ...]
    params: Mapping[str, Any] = field(default_factory=dict)

    def draw(self, stream: RandomStream) -> list[NDArray[Any]]:
        """A host array for each input."""
        return [each.draw(stream) for each in self.inputs]


def unary(low: float = -2.0, high: float = 2.0, **params: Any) -> tuple[Sample, ...]:
    """One input, in two shapes."""
    return (Sample((Uniform(3, 5, low, high),), params), Sample((Uniform(1, 1, low, high),), params))


def binary(low: float = -2.0, high: float = 2.0, other_low: float | None = None) -> tuple[Sample, ...]:
    """Two inputs: of one shape, and with every way that extents of 1 broadcast."""
    shapes = (((3, 4), (3, 4)), ((3, 4), (1, 4)), ((3, 1), (3, 4)), ((1, 1), (3, 4)), ((3, 1), (1, 4)))
    second = low if other_low is None else other_low
    return tuple(Sample((Uniform(*a, low, high), Uniform(*b, second, high))) for a, b in shapes)


def reduction(low: float = -2.0, high: float = 2.0) -> tuple[Sample, ...]:
    """One input, reduced over rows, columns and all."""
    return tuple(Sample((Uniform(4, 3, low, high),), {"axis": axis}) for axis in (None, 0, 1))
