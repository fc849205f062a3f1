"""A data set in memory: checked once when it is made, so that nothing later has to doubt it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pycrograd_core.errors import DataError, IndexRangeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of features, each with a target.

    `features`: float32, n × d, C-contiguous, finite. `targets`: for classification int32 labels of shape (n,), each in
    0 … classes-1; for regression (`classes` is None) float32 values, n × k, finite. `columns` names the d features and
    `label_names` the classes, where such names are known.

    Raises DataError, naming the data set and the row and column (counted from 0) at fault, if any of this is not so.
    """

    name: str
    features: NDArray[np.float32]
    targets: NDArray[np.int32 | np.float32]
    classes: int | None
    columns: tuple[str, ...] = ()
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_layout()
        self._check_finite(self.features, "column", self.columns)
        if self.classes is None:
            self._check_finite(self.targets, "target")
        else:
            self._check_labels(self.classes)

    def __len__(self) -> int:
        return len(self.features)

    @property
    def inputs(self) -> int:
        """The number of features, d."""
        return int(self.features.shape[1])

    @property
    def outputs(self) -> int:
        """What a model for this data set must yield per row: one logit per class, or the k values of a regression."""
        return int(self.targets.shape[1]) if self.classes is None else self.classes

    def rows(self, indices: Sequence[int] | NDArray[np.int64]) -> Dataset:
        """The data set of the given rows, in the given order. Raises IndexRangeError for a row that does not exist."""
        import numpy as np

        chosen = np.asarray(indices, np.int64)
        for index in chosen[(chosen < 0) | (chosen >= len(self))][:1]:
            raise IndexRangeError(f"data set {self.name!r}: there is no row {index} among {len(self)} rows")
        return replace(self, features=self.features[chosen], targets=self.targets[chosen])

    def _error(self, reason: str) -> DataError:
        return DataError(f"data set {self.name!r}: {reason}")

    def _check_layout(self) -> None:
        features, targets = self.features, self.targets
        kind, dimensions = ("float32", 2) if self.classes is None else ("int32", 1)
        for what, array, dtype, ndim in (("features", features, "float32", 2), ("targets", targets, kind, dimensions)):
            if array.dtype != dtype or array.ndim != ndim or not array.flags.c_contiguous:
                raise self._error(
                    f"{what} must be a C-contiguous {dtype} array of {ndim} dimension(s), "
                    f"not {array.dtype} of shape {array.shape} and strides {array.strides}"
                )
        if len(features) != len(targets):
            raise self._error(f"{len(features)} rows of features, but {len(targets)} targets")
        if features.size == 0 or targets.size == 0:
            raise self._error(f"it is empty: features {features.shape}, targets {targets.shape}")
        if self.columns and len(self.columns) != self.inputs:
            raise self._error(f"{len(self.columns)} column names for {self.inputs} columns")
        if self.label_names and len(self.label_names) != self.classes:
            raise self._error(f"{len(self.label_names)} label names for {self.classes} classes")

    def _check_finite(
        self, values: NDArray[np.int32 | np.float32], what: Literal["column", "target"], names: tuple[str, ...] = ()
    ) -> None:
        import numpy as np

        finite = np.isfinite(values)
        if not finite.all():
            row, column = (int(index) for index in np.unravel_index(finite.argmin(), finite.shape))
            name = repr(names[column]) if names else column
            raise self._error(f"row {row}, {what} {name} is {values[row, column]}")

    def _check_labels(self, classes: int) -> None:
        wrong = (self.targets < 0) | (self.targets >= classes)
        if wrong.any():
            row = int(wrong.argmax())
            raise self._error(f"row {row}: the label {self.targets[row]} is outside 0 … {classes - 1}")
