"""The BLAS that NumPy itself runs on, for the products that NumPy has no call for: those that add to what is there.

A symbol that is looked up in NumPy's extension module is found in the library which that module was linked with. So
there is one library and one pool of threads. Its name tells how wide its integers are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

ROW_MAJOR, PLAIN, TRANSPOSED = (ctypes.c_int(number) for number in (101, 111, 112))
LETTERS = {"float32": "s", "float64": "d"}
NUMBERS: dict[str, Any] = {"float32": ctypes.c_float, "float64": ctypes.c_double}
SPELLINGS = (  # prefix, suffix, integers
    ("scipy_cblas_", "64_", ctypes.c_int64),  # the wheels on PyPI
    ("cblas_", "64_", ctypes.c_int64),
    ("cblas_", "$NEWLAPACK$ILP64", ctypes.c_int64),  # Accelerate
    ("cblas_", "$NEWLAPACK", ctypes.c_int32),
    ("scipy_cblas_", "", ctypes.c_int32),
    ("cblas_", "", ctypes.c_int32),
)


@dataclass(frozen=True)
class Blas:
    """What accumulates in place, for one dtype. Arguments are ctypes objects; `integer` makes those for extents."""

    gemm: Callable[..., None]  # C ← alpha · op(A) · op(B) + beta · C
    gemv: Callable[..., None]  # y ← alpha · op(A) · x + beta · y
    axpy: Callable[..., None]  # y ← alpha · x + y
    scal: Callable[..., None]  # x ← alpha · x
    integer: Callable[[int], Any]
    number: Callable[[float], Any]


@lru_cache(maxsize=2)
def blas(dtype: str) -> Blas | None:
    """The routines of NumPy's own BLAS, or None if they cannot be reached, or do not compute what they should."""
    for library in _libraries():
        for prefix, suffix, integer in SPELLINGS:
            names = [f"{prefix}{LETTERS[dtype]}{routine}{suffix}" for routine in ("gemm", "gemv", "axpy", "scal")]
            if all(hasattr(library, name) for name in names):
                routines = [getattr(library, name) for name in names]
                for routine in routines:
                    routine.restype = None
                gemm, gemv, axpy, scal = routines
                found = Blas(gemm, gemv, axpy, scal, integer, NUMBERS[dtype])
                return found if _right(found, dtype) else None
    return None


def pointer(array: np.ndarray[Any, Any]) -> ctypes.c_void_p:
    """The address of an array's elements. It does not keep the array alive."""
    return ctypes.c_void_p(array.ctypes.data)


def _libraries() -> Iterator[ctypes.CDLL]:
    """NumPy's extension module, which leads to its libraries; and these, for systems that do not look there."""
    module = import_module("numpy._core._multiarray_umath")
    beside = sorted((Path(np.__file__).parent.parent / "numpy.libs").glob("*openblas*"))
    for path in (module.__file__, *beside):
        with suppress(OSError):  # a library that this system does not load is none that NumPy runs on
            yield ctypes.CDLL(str(path))


def _right(found: Blas, dtype: str) -> bool:
    """Whether integers are as wide as the name said: a small product comes out as it should."""
    a, b, c = np.arange(6, dtype=dtype).reshape(3, 2), np.arange(12, dtype=dtype).reshape(3, 4), np.ones((2, 4), dtype)
    expected = 2 * a.T @ b + 3
    two, three, integer = found.number(2.0), found.number(3.0), found.integer
    extents = [integer(extent) for extent in (2, 4, 3)]
    rows = [(pointer(each), integer(each.shape[1])) for each in (a, b, c)]
    found.gemm(ROW_MAJOR, TRANSPOSED, PLAIN, *extents, two, *rows[0], *rows[1], three, *rows[2])
    return bool(np.array_equal(c, expected))


_cell = ctypes.c_char.from_buffer
_address = ctypes.addressof


def address(array: Any) -> int:
    """The address of an array's elements, in a fifth of the time that `array.ctypes.data` takes."""
    try:
        return _address(_cell(array))
    except (TypeError, ValueError):  # read-only, or without elements
        return int(array.ctypes.data)
