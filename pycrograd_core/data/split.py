"""Which rows to train on: a smaller data set, and the rows held out for validation.

Both choices are stratified: every class keeps its share, to within one row. The rows chosen depend on the stream alone
and keep the order of the data set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycrograd_core.random import RandomStream

    from .dataset import Dataset


def take(dataset: Dataset, samples: int, stream: RandomStream) -> Dataset:
    """`samples` rows of the data set. Raises DataError if it has fewer, or if `samples` is below 1."""
    import numpy as np

    if not 1 <= samples <= len(dataset):
        raise DataError(f"cannot take {samples} samples of data set {dataset.name!r}: it has {len(dataset)}")
    counts = np.bincount(_strata(dataset))
    return dataset.rows(np.flatnonzero(_choose(dataset, _quotas(samples, counts, counts), stream)))


def split(dataset: Dataset, validation: float, stream: RandomStream) -> tuple[Dataset, Dataset | None]:
    """The training rows, and round(validation · n) validation rows, or None if that is no row.

    Where there are rows enough, every class keeps at least one for training. Raises DataError if `validation` is not in
    [0, 1), or if it leaves nothing to train on.
    """
    import numpy as np

    if not 0 <= validation < 1:
        raise DataError(f"the validation fraction must be in [0, 1), not {validation}")
    held_out = round(validation * len(dataset))
    if held_out == 0:
        return dataset, None
    if held_out == len(dataset):
        raise DataError(
            f"a validation fraction of {validation} of the {len(dataset)} rows of data set {dataset.name!r} "
            "leaves none to train on"
        )
    counts = np.bincount(_strata(dataset))
    spare = np.maximum(counts - 1, 0)
    chosen = _choose(dataset, _quotas(held_out, counts, spare if held_out <= spare.sum() else counts), stream)
    return dataset.rows(np.flatnonzero(~chosen)), dataset.rows(np.flatnonzero(chosen))


def _strata(dataset: Dataset) -> NDArray[np.int32]:
    """The stratum of each row: its class, or for regression the same for all."""
    import numpy as np

    return np.zeros(len(dataset), np.int32) if dataset.classes is None else dataset.targets.astype(np.int32, copy=False)


def _quotas(total: int, counts: NDArray[np.int64], limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """`total` rows shared out in proportion to `counts` by largest remainder, no stratum beyond its limit."""
    import numpy as np

    shares = counts * total  # in units of 1/n of a row: integers, so equal shares stay equal
    quotas: NDArray[np.int64] = np.minimum(shares // counts.sum(), limits)
    while (missing := total - int(quotas.sum())) > 0:
        neediest = np.argsort(quotas * counts.sum() - shares, kind="stable")
        quotas[neediest[quotas[neediest] < limits[neediest]][:missing]] += 1
    return quotas


def _choose(dataset: Dataset, quotas: NDArray[np.int64], stream: RandomStream) -> NDArray[np.bool_]:
    """For each row whether it is one of the random rows that fill the quota of its stratum."""
    import numpy as np

    strata = _strata(dataset)
    counts = np.bincount(strata)
    order = stream.permutation(len(dataset))
    grouped = order[np.argsort(strata[order], kind="stable")]
    rank = np.arange(len(dataset)) - np.repeat(np.cumsum(counts) - counts, counts)  # of each row in its stratum
    chosen = np.zeros(len(dataset), np.bool_)
    chosen[grouped[rank < np.repeat(quotas, counts)]] = True
    return chosen
