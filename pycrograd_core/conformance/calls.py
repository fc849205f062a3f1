"""Calling a kernel, and what holds of its result whatever its values are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import INDEX_DTYPE, Op

from .subject import Subject

_WRITTEN = 1  # when the operands were last overwritten, for what they tell
_LIMITS = (-(2**31), 2**31 - 1)


def called(
    subject: Subject,
    op: Op,
    inputs: Sequence[Matrix],
    params: Mapping[str, Any],
    case: str,
    *,
    kernel: Callable[..., Matrix] | None = None,
    **out: Matrix,
) -> Matrix:
    """What the kernel returns: a matrix of this class, of the right shape and dtype, which tells nothing of its own.

    Its operands do tell of something: that they were overwritten, and between which limits their values are.
    """
    for x in inputs:
        x.written, x.limits = _WRITTEN, _LIMITS if x.dtype == INDEX_DTYPE else None
    with np.errstate(all="ignore"):  # a backend over NumPy may leave it to warn of what overflows
        result: Matrix = (kernel or subject.matrix.kernels[op])(*inputs, **params, **out)
    if type(result) is not subject.matrix:
        raise ConformanceError(f"{case}: returned {type(result).__name__}, not a {subject.matrix.__name__}")
    described(result, op.dtype_of(inputs, params), case)
    if op.shape is not None and result.shape != op.result_shape(inputs, params):
        raise ConformanceError(
            f"{case}: the result says that it is {result.shape}, it should be {op.result_shape(inputs, params)}"
        )
    if all(result is not x for x in out.values()):
        if any(result is x for x in inputs):
            raise ConformanceError(f"{case}: returned its operand; a result is a matrix of its own")
        fresh(result, case)
    return result


def described(matrix: Matrix, dtype: str, case: str) -> None:
    """Raise ConformanceError unless the shape is two Python integers and the dtype this one, a string."""
    shape = matrix.shape
    if not (isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int for n in shape)):
        raise ConformanceError(f"{case}: the shape of a matrix is {shape!r}; it should be two Python integers")
    if matrix.dtype != dtype or type(matrix.dtype) is not str:
        raise ConformanceError(f"{case}: the dtype of a matrix is {matrix.dtype!r}; it should be {dtype!r}")


def fresh(matrix: Matrix, case: str) -> None:
    """Raise ConformanceError if the core would take a new matrix for one of which it knows something."""
    if matrix.written != 0 or matrix.limits is not None:
        raise ConformanceError(
            f"{case}: a new matrix must have written = 0 and limits = None, not {matrix.written} and {matrix.limits}"
        )
