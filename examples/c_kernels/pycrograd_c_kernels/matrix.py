"""The matrix of the c-kernels backend: all that computes is in kernels.c, but for `full`, which is inherited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from pycrograd_core.errors import Shape
from pycrograd_core.host_kernels import HostKernels
from pycrograd_core.matrix import HostBuffer
from pycrograd_core.op import FLOAT_DTYPES
from pycrograd_core.ops.shapes import broadcast, concatenated, product, reduced

from ._kernels import ffi, lib

SUFFIXES = {"float32": "f32", "float64": "f64", "int32": "i32"}  # of the kernels for a dtype
ARRAYS = {"float32": ffi.typeof("float[]"), "float64": ffi.typeof("double[]"), "int32": ffi.typeof("int32_t[]")}
PARTS = {dtype: ffi.typeof(f"Matrix_{suffix} *") for dtype, suffix in SUFFIXES.items()}
allocate = ffi.new_allocator(should_clear_after_alloc=False)


def _elementwise(name: str) -> Callable[..., Any]:
    """A kernel of up to three operands, which may write over any of them."""
    functions = {dtype: getattr(lib, f"{name}_{SUFFIXES[dtype]}") for dtype in FLOAT_DTYPES}

    def kernel(self: CKernelsMatrix, *others: CKernelsMatrix, out: CKernelsMatrix | None = None) -> CKernelsMatrix:
        a, b, c = (self, *others, self, self)[:3]
        result = out or CKernelsMatrix(*broadcast(a.shape, b.shape, c.shape), self.dtype)
        functions[self.dtype](a.view, b.view, c.view, result.view)
        return result

    return kernel


class CKernelsMatrix(HostKernels):
    """A matrix whose values are in memory that kernels read and write where it is."""

    __slots__ = ("values", "view")

    device = "cpu"
    capabilities = frozenset({"float64", "host_memory", "deterministic"})

    def __init__(self, rows: int, cols: int, dtype: str) -> None:
        super().__init__((rows, cols), dtype)
        self.values = allocate(ARRAYS[dtype], rows * cols)  # freed with this object
        self.view = self.part(rows, cols, cols if rows > 1 else 0, int(cols > 1))

    def part(self, rows: int, cols: int, row_step: int, col_step: int, start: int = 0) -> Any:
        """What a kernel is given: from the value at `start` on, so many rows and columns, each so far from the last."""
        return ffi.new(PARTS[self.dtype], (self.values + start, rows, cols, row_step, col_step))

    def run(self, kernel: str, shape: Shape, *others: Any, dtype: str = "", out: Self | None = None) -> Self:
        """A matrix, `out` or a new one, to which a kernel writes what it computes of this one and others."""
        result = type(self)(*shape, dtype or self.dtype) if out is None else out
        getattr(lib, f"{kernel}_{SUFFIXES[self.dtype]}")(self.view, *others, result.view)
        return result

    def copied(self, part: Any, target: Any) -> None:
        """Copy what one part is of to another."""
        getattr(lib, f"copy_{SUFFIXES[self.dtype]}")(part, part, part, target)

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Self:
        matrix = cls(rows, cols, dtype)
        ffi.memmove(matrix.values, buffer, ffi.sizeof(matrix.values))
        return matrix

    def to_host(self) -> HostBuffer:
        return ffi.buffer(self.values)

    exp, log, sqrt, tanh = map(_elementwise, ("exp", "log", "sqrt", "tanh"))
    add, subtract, multiply, divide = map(_elementwise, ("add", "subtract", "multiply", "divide"))
    power, maximum, greater, where = map(_elementwise, ("power", "maximum", "greater", "where"))
    relu, relu_gradient, sgd_update = map(_elementwise, ("relu", "relu_gradient", "sgd_update"))

    def sum(self, axis: int | None = None, *, out: Self | None = None) -> Self:
        return self.run("sum", reduced(self, axis))

    def max(self, axis: int | None = None, *, out: Self | None = None) -> Self:
        return self.run("max", reduced(self, axis))

    def argmax(self, axis: int | None = None) -> Self:
        return self.run("argmax", reduced(self, axis), dtype="int32")

    def matmul(
        self, other: Self, transpose_a: bool = False, transpose_b: bool = False, *, out: Self | None = None
    ) -> Self:
        shape = product(self, other, transpose_a, transpose_b)
        a, b = self.transpose() if transpose_a else self, other.transpose() if transpose_b else other
        return a.run("matmul", shape, b.view, out=out)

    def transpose(self) -> Self:
        rows, cols = self.shape
        result = type(self)(cols, rows, self.dtype)
        self.copied(self.part(cols, rows, 1, cols), result.view)
        return result

    def reshape(self, rows: int, cols: int) -> Self:
        return self.from_host(self.to_host(), rows, cols, self.dtype)

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Self:
        cols = self.shape[1]
        result = type(self)(row_stop - row_start, col_stop - col_start, self.dtype)
        self.copied(self.part(*result.shape, cols, 1, row_start * cols + col_start), result.view)
        return result

    def concat(self, *others: Self, axis: int) -> Self:
        result = type(self)(*concatenated(self, *others, axis=axis), self.dtype)
        start, cols = 0, result.shape[1]
        for x in (self, *others):
            self.copied(x.view, result.part(*x.shape, cols, 1, start))
            start += x.shape[axis] * (1 if axis else cols)
        return result

    def take_rows(self, indices: Self, *, out: Self | None = None) -> Self:
        return self.run("take_rows", (indices.shape[0], self.shape[1]), indices.view)

    def add_rows(self, indices: Self, updates: Self, *, out: Self | None = None) -> Self:
        return self.run("add_rows", self.shape, indices.view, updates.view)

    def assign(self, source: Self) -> None:
        ffi.memmove(self.values, source.values, ffi.sizeof(self.values))
