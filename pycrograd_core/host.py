"""Host data on its way into a matrix: nested lists, numbers, NumPy arrays, anything with the buffer protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import DataError, DtypeError
from .op import FLOAT_DTYPES, INDEX_DTYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray


def host_array(data: Any, dtype: str) -> NDArray[Any]:
    """The data as a two-dimensional, C-contiguous array of `dtype`; a copy only where one is needed.

    A number becomes 1×1. A flat sequence of floats becomes one row, of indices (int32) one column: samples are rows.
    Raises DtypeError for data that are not numbers or not whole, DataError for ragged rows or other dimensions.
    """
    import numpy as np

    if dtype not in (*FLOAT_DTYPES, INDEX_DTYPE):
        raise DtypeError(f"dtype must be float32, float64 or (for indices) int32, not {dtype!r}")
    try:
        array = np.asarray(data)
    except ValueError:
        raise DataError(_ragged(data)) from None
    if array.dtype == object and array.ndim < 2:
        raise DataError(_ragged(data))
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"expected numbers, got {array.dtype.name}: {str(data)[:60]}")
    if array.ndim > 2:
        raise DataError(f"a tensor has two dimensions, rows and columns; got {array.ndim}: {array.shape}")
    if dtype == INDEX_DTYPE:
        _check_whole(array)
    if array.ndim < 2:
        array = array.reshape(-1, 1) if dtype == INDEX_DTYPE else array.reshape(1, -1)
    return np.ascontiguousarray(array, dtype)


def _check_whole(array: NDArray[Any]) -> None:
    import numpy as np

    if array.dtype.kind == "f" and array.size:
        raise DtypeError("indices and labels must be whole numbers, not floats: convert them with astype('int32')")
    limits = np.iinfo(np.int32)
    if array.size and array.dtype != np.int32 and (int(array.max()) > limits.max or int(array.min()) < limits.min):
        raise DtypeError("indices and labels must fit into int32")


def _ragged(data: Any) -> str:
    try:
        lengths = [len(row) for row in data]
    except TypeError:
        return f"expected rows of numbers, got {str(data)[:60]}"
    wrong = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if wrong is None:
        return f"expected rows of numbers, got {str(data)[:60]}"
    return f"rows have different lengths: row 0 has {lengths[0]}, row {wrong} has {lengths[wrong]}"
