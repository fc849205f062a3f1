"""How far a result is from what it should be, and how far it may be.

Everything is compared with float64, whole arrays at a time. A tolerance is in units of the dtype's epsilon, and is such
that a wrong formula, or one computed in half precision, is far outside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.errors import ConformanceError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def element_errors(found: NDArray[Any], expected: NDArray[Any], dtype: str, scale: Any = None) -> NDArray[Any]:
    """The error of each element, relative to `scale` (by default the expected element itself).

    `expected` is float64. It is nan where nan is expected and 0 where it is found, infinite where an infinity, a nan or
    a sign of either is wrong. What is below the least normal number counts as that number, since a device may flush it.
    """
    limits = np.finfo(dtype)
    with np.errstate(all="ignore"):
        rounded = expected.astype(dtype).astype("float64")
        wide = found.astype("float64")
        off = np.abs(wide - expected)
        size = np.maximum(np.abs(expected) if scale is None else scale, float(limits.tiny))
        errors: NDArray[Any] = np.where(off <= float(limits.tiny), 0.0, off / size)
        if np.isfinite(errors).all() and np.isfinite(rounded).all():
            return errors
        special = ~np.isfinite(rounded) | ~np.isfinite(wide)
        right = (np.isnan(rounded) & np.isnan(wide)) | (rounded == wide)
        # at the edge of what the dtype can hold, rounding decides between the greatest number and infinity
        edge = (np.abs(np.abs(expected) / float(limits.max) - 1) < 64 * limits.eps) & ~np.isnan(wide)
        return np.where(special, np.where(right | (edge & (np.sign(wide) == np.sign(expected))), 0.0, np.inf), errors)


def worst(
    found: NDArray[Any], expected: NDArray[Any], dtype: str, tolerance: float, case: str, scale: Any = None
) -> float:
    """The greatest error of a result. Raises ConformanceError, which names the element, if it is too great."""
    expected = np.asarray(expected)
    if found.shape != expected.shape:
        raise ConformanceError(f"{case}: the result is {_shape(found)}, it should be {_shape(expected)}")
    if not found.size:
        return 0.0
    errors = element_errors(found, expected.astype("float64"), dtype, scale)
    error = float(errors.max())
    if not error <= tolerance:
        row, col = np.unravel_index(int(errors.argmax()), errors.shape)
        wrong = int((~(errors <= tolerance)).sum())
        raise ConformanceError(
            f"{case}: element [{row}, {col}] is {found[row, col]!s}, it should be {expected[row, col]!s}; the error "
            f"{error:.2g} is above {tolerance:.2g}; {wrong} of {errors.size} elements are wrong"
        )
    return error


def whole(found: NDArray[Any], expected: NDArray[Any], tolerance: float, case: str) -> float:
    """The greatest error of a result, relative to its greatest element or to 1: for what sums and cancels.

    Raises ConformanceError if it is too great.
    """
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return worst(found, expected, "float64", tolerance, case, scale)


def same(found: NDArray[Any], expected: NDArray[Any], case: str) -> None:
    """Raise ConformanceError unless two arrays are equal bit for bit, but for which nan a nan is."""
    expected = np.asarray(expected)
    if found.shape != expected.shape:
        raise ConformanceError(f"{case}: the result is {_shape(found)}, it should be {_shape(expected)}")
    if found.dtype != expected.dtype:
        raise ConformanceError(f"{case}: the result is {found.dtype}, it should be {expected.dtype}")
    equal = (found == expected) & (np.signbit(found) == np.signbit(expected))
    if found.dtype.kind == "f":
        equal |= np.isnan(found) & np.isnan(expected)
    if not equal.all():
        row, col = np.argwhere(~equal)[0]
        raise ConformanceError(
            f"{case}: element [{row}, {col}] is {found[row, col]!s}, it should be {expected[row, col]!s}, exactly; "
            f"{int((~equal).sum())} of {equal.size} elements are wrong"
        )


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
