"""What a run minimises and counts: the loss, how targets are prepared for it, and when an answer is correct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycrograd_core import ops
from pycrograd_core.errors import DataError
from pycrograd_core.registry import Registry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.data import Dataset
    from pycrograd_core.tensor import Tensor


@dataclass(frozen=True)
class Loss:
    """A loss for training runs.

    `value(outputs, targets)` is the mean over a batch, 1×1. `correct(outputs, targets)` counts correct rows, 1×1; it is
    None where there is no such thing as correct. `targets(dataset)` gives the host array that goes to the device, int32
    for labels. `width(size, classification)` is how many outputs a model needs, from how many classes or target columns
    its data set has; it is None where the data set does not fit.
    """

    name: str
    value: Callable[[Tensor, Tensor], Tensor]
    correct: Callable[[Tensor, Tensor], Tensor] | None
    targets: Callable[[Dataset], NDArray[Any]]
    width: Callable[[int, bool], int | None]
    expects: str

    def outputs(self, size: int, classification: bool, dataset: str) -> int:
        """How many outputs a model needs for a data set of `size` classes or target columns. Raises DataError."""
        width = self.width(size, classification)
        if width is None:
            kind = f"{size} classes" if classification else f"{size} target columns"
            raise DataError(f"the loss {self.name} needs {self.expects}; {dataset} has {kind}")
        return width


def cross_entropy() -> Loss:
    """-log softmax(logits)[label]: for classes, one output each."""
    return Loss(
        "cross_entropy",
        ops.cross_entropy,
        ops.count_correct,
        lambda dataset: dataset.targets.reshape(-1, 1),
        lambda size, classification: size if classification else None,
        "classes",
    )


def max_margin() -> Loss:
    """max(0, 1 - target · score): for two classes, one output, whose sign is the answer."""
    return Loss(
        "max_margin",
        ops.max_margin,
        ops.count_same_sign,
        lambda dataset: dataset.targets.reshape(-1, 1).astype("float32") * 2 - 1,
        lambda size, classification: 1 if classification and size == 2 else None,
        "two classes",
    )


def mean_squared_error() -> Loss:
    """The mean of (prediction - target)²: for numbers, one output each."""
    return Loss(
        "mean_squared_error",
        ops.mean_squared_error,
        None,
        lambda dataset: dataset.targets,
        lambda size, classification: None if classification else size,
        "numbers as targets",
    )


losses = Registry("loss")
for _factory in (cross_entropy, max_margin, mean_squared_error):
    losses.register(_factory.__name__, _factory)
