"""Steps over batches of data on the device: captured, many in one call, or eagerly one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycrograd_core import ops
from pycrograd_core.autograd import no_grad
from pycrograd_core.capture import capture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_core.data import Dataset
    from pycrograd_core.tensor import Tensor

    from .losses import Loss

Step = Callable[..., tuple["Tensor", "Tensor | None"]]


@dataclass
class DeviceData:
    """A data set on the device: features n × inputs, targets n × 1 or n × outputs."""

    features: Tensor
    targets: Tensor

    @classmethod
    def upload(cls, dataset: Dataset, loss: Loss, like: Tensor) -> DeviceData:
        """Copy a data set to where a tensor lives, once."""
        targets = loss.targets(dataset)
        place = like.like_indices if targets.dtype.kind == "i" else like.like
        return cls(like.like(dataset.features), place(targets))

    def __len__(self) -> int:
        return self.features.rows


class Steps:
    """A function of a batch (features, targets and what else differs from step to step) that returns two 1×1 tensors.

    The second may be None.
    """

    def __init__(self, step: Step, captured: bool) -> None:
        self._step = step
        self._captured = capture(step) if captured else None

    @property
    def compile_seconds(self) -> float:
        """What tracing and compiling took so far."""
        return self._captured.compile_seconds if self._captured is not None else 0.0

    def run(
        self,
        data: DeviceData,
        rows: NDArray[Any],
        each: Sequence[Tensor] = (),
        before: Callable[[int], None] = lambda number: None,
    ) -> tuple[Tensor, Tensor | None]:
        """A step on each row of `rows`, which is steps × batch. Returns steps × 1 tensors.

        What differs from step to step is for captured steps in `each`, whose row i is passed to step i; others are
        preceded by `before(i)`.
        """
        if self._captured is not None:
            return self._captured.scan(data.features, data.targets, rows=rows, each=each)
        batch = rows.shape[1]
        indices = data.features.like_indices(rows.reshape(-1, 1))
        results = []
        for number in range(len(rows)):
            before(number)
            chosen = indices[number * batch : (number + 1) * batch]
            results.append(self._step(data.features.take_rows(chosen), data.targets.take_rows(chosen)))
        with no_grad():
            first, second = zip(*results, strict=True)
            return ops.concat(*first, axis=0), None if second[0] is None else ops.concat(*second, axis=0)
