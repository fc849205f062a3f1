"""The order in which an epoch visits the rows, and its batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.errors import DataError
from pycrograd_core.random import RandomStream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The numbers 0 … count-1, shuffled.

    Depends on the seed and the epoch alone, so a resumed run visits the rows as the uninterrupted one would have.
    """
    return RandomStream(seed, "shuffle", epoch).permutation(count)


def batches(order: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """`order` cut into runs of `batch_size` rows (views). The last one may be shorter. DataError for a size below 1."""
    if batch_size < 1:
        raise DataError(f"the batch size must be at least 1, not {batch_size}")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
