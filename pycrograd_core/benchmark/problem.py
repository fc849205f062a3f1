"""A problem that is the same for every contestant, and the work that a contestant makes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, where it starts, and the batch that each step trains it on.

    Linear layers from `sizes[0]` inputs to `sizes[-1]` classes, with a relu after all but the last. Layer i begins with
    `weights[i]`, sizes[i] × sizes[i + 1], and a bias of zeros. `inputs` are batch × sizes[0], `labels` the class
    numbers of the batch, int64; all else is float32. A step is forward, the mean cross-entropy, backward, and
    w - learning_rate · g for every weight and bias. A contestant may write to the arrays: nobody else has them.
    """

    sizes: tuple[int, ...]
    weights: list[NDArray[np.float32]]
    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    learning_rate: float = 0.01

    @classmethod
    def drawn(cls, sizes: Sequence[int], batch: int) -> Problem:
        """The problem of a network and a batch size: the same numbers each time."""
        import numpy as np

        rng = np.random.default_rng(0)
        weights = [(rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype("float32") for a, b in pairwise(sizes)]
        inputs = rng.random((batch, sizes[0])).astype("float32")
        return cls(tuple(sizes), weights, inputs, rng.integers(0, sizes[-1], batch))

    @property
    def batch(self) -> int:
        """The rows of the batch."""
        return len(self.inputs)


@dataclass(frozen=True)
class Work:
    """What a contestant does. `call()` makes `steps` training steps, and may return before they are done.

    `losses` of what it returned waits for them, and gives the loss of each step, before its update.
    """

    call: Callable[[], Any]
    losses: Callable[[Any], Sequence[float]]
    steps: int = 1


Contestant = Callable[[Problem], Work]
