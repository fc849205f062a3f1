"""Tracing is just another backend: a matrix that holds a shape, and records kernels instead of running them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pycrograd_core.errors import Shape
from pycrograd_core.matrix import FORMATS, HostBuffer, Kernel, KernelTable, Matrix
from pycrograd_core.op import INDEX_DTYPE, TABLE, Op


@dataclass(frozen=True)
class Call:
    """One kernel that was recorded."""

    op: Op
    shapes: tuple[Shape, ...]
    params: Mapping[str, Any]
    result: Shape
    flops: int
    bytes: int  # read and written, each operand once


class _Recorder(KernelTable):
    """Records an op whose cost is known from its shapes as one kernel, and any other as what it decomposes into."""

    def __init__(self, matrix: type[Matrix], calls: list[Call]) -> None:
        super().__init__(matrix)
        self.calls = calls

    def __missing__(self, op: Op) -> Kernel:
        def kernel(*inputs: Any, out: Any = None, **params: Any) -> Any:
            if op.flops is None and op.decomposition is not None:
                return op.decomposition(*inputs, **params)
            return self._record(op, inputs, params)

        self[op] = kernel
        return kernel

    def _record(self, op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        shape = op.result_shape(inputs, params)
        dtypes = [x.dtype for position, x in enumerate(inputs) if position not in op.indices]
        result = inputs[0].symbol(shape, INDEX_DTYPE if op is TABLE["argmax"] else dtypes[-1])
        flops = op.flops(*inputs, **params) if op.flops else math.prod(shape)
        self.calls.append(
            Call(op, tuple(x.shape for x in inputs), params, shape, flops, sum(x.bytes for x in (*inputs, result)))
        )
        return result


class SymbolicMatrix(Matrix):
    """A shape and a dtype. Its kernels, which the recorder supplies, compute nothing."""

    __slots__ = ()

    backend = device = "symbolic"
    capabilities = frozenset({"float64"})

    @classmethod
    def symbol(cls, shape: Shape, dtype: str) -> SymbolicMatrix:
        """A matrix of this shape and dtype."""
        return cls(shape, dtype)

    @property
    def bytes(self) -> int:
        """What the values would take."""
        return self.rows * self.cols * (8 if FORMATS[self.dtype] == "d" else 4)

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> SymbolicMatrix:
        """The shape of a host buffer."""
        return cls((rows, cols), dtype)

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> SymbolicMatrix:
        """A shape."""
        return cls((rows, cols), dtype)

    def to_host(self) -> HostBuffer:
        """Raises TypeError."""
        raise TypeError("a symbolic matrix holds no values")

    def assign(self, source: Any) -> None:
        """Nothing to copy."""

    @classmethod
    def synchronize(cls) -> None:
        """Nothing to wait for."""


@contextmanager
def recording() -> Iterator[tuple[type[Matrix], list[Call]]]:
    """A fresh symbolic matrix class, and the list of the kernels that it will record."""
    calls: list[Call] = []
    matrix: Any = type("Symbolic", (SymbolicMatrix,), {"__slots__": ()})
    matrix.__abstractmethods__ = frozenset()  # the recorder stands in for the kernels
    matrix.kernels = _Recorder(matrix, calls)
    yield matrix, calls
