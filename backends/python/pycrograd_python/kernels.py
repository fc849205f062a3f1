"""The required kernels, as plainly as Python can say them: what each result is, number by number.

Numbers are computed as Python floats, which are double precision, and rounded to the matrix's dtype as they are stored.
"""

from __future__ import annotations

import math
import operator
from array import array
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pycrograd_core.matrix import FORMATS, HostBuffer, Matrix
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops.shapes import broadcast, concatenated, product, reduced

from . import ieee
from .product import product as matrix_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pycrograd_core.errors import Shape

    from .product import Values

K = TypeVar("K", bound="Kernels")


def result(like: K, shape: Shape, values: Iterable[float], out: K | None = None) -> K:
    """A matrix of `like`'s class and dtype with these values; `out`, if given, which then holds them."""
    data = values if isinstance(values, array) else array(like.data.typecode, values)
    if out is None:
        return type(like)(shape, like.dtype, data)
    out.data[:] = data
    return out


def spread(x: Kernels, shape: Shape) -> Iterable[float]:
    """The elements in row-major order, rows and columns of extent 1 repeated to fill `shape`."""
    if x.shape == shape:
        return x.data
    rows, cols = shape
    if x.shape == (1, 1):
        return repeat(x.data[0], rows * cols)
    if x.cols == cols:
        return chain.from_iterable(repeat(x.data, rows))
    return chain.from_iterable(map(repeat, x.data, repeat(cols)))


def lines(x: Kernels, axis: int | None) -> Iterator[Values]:
    """What a reduction over `axis` reduces: each column (0), each row (1) or all elements (None)."""
    rows, cols = x.shape
    if axis is None:
        yield x.data
    elif axis == 0:
        for j in range(cols):
            yield x.data[j::cols]
    else:
        for i in range(rows):
            yield x.data[i * cols : (i + 1) * cols]


def elementwise(quick: Callable[..., float], careful: Callable[..., float] | None = None) -> Callable[..., Any]:
    """A kernel from a function of numbers. `careful` is the function by IEEE 754, for when `quick` raises."""

    def kernel(self: K, *others: K, out: K | None = None) -> K:
        operands = (self, *others)
        shape = broadcast(*[x.shape for x in operands])
        try:
            return result(self, shape, map(quick, *[spread(x, shape) for x in operands]), out)
        except (ArithmeticError, ValueError):
            if careful is None:
                raise
            return result(self, shape, map(careful, *[spread(x, shape) for x in operands]), out)

    return kernel


class Kernels(Matrix):
    """A matrix over an `array.array`, with the kernels that the contract requires and no other."""

    __slots__ = ("data",)

    device = "cpu"
    capabilities = frozenset({"float64", "host_memory", "deterministic", "exact_capture"})

    def __init__(self, shape: Shape, dtype: str, data: Values) -> None:
        super().__init__(shape, dtype)
        self.data = data

    # Host ----------------------------------------------------------------------------------------------------------

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Self:
        """A copy of a buffer."""
        data = array(FORMATS[dtype])
        if rows and cols:  # a memoryview without elements cannot be cast
            data.frombytes(memoryview(buffer).cast("B"))
        return cls((rows, cols), dtype, data)

    def to_host(self) -> HostBuffer:
        """A read-only view: no copy."""
        return memoryview(self.data).toreadonly()

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> Self:
        """One number, rows × cols times."""
        number = int(value) if dtype == INDEX_DTYPE else value
        return cls((rows, cols), dtype, array(FORMATS[dtype], [number]) * (rows * cols))

    # Elementwise ---------------------------------------------------------------------------------------------------

    exp = elementwise(math.exp, ieee.exp)
    log = elementwise(math.log, ieee.log)
    sqrt = elementwise(math.sqrt, ieee.sqrt)
    tanh = elementwise(math.tanh)
    add = elementwise(operator.add)
    subtract = elementwise(operator.sub)
    multiply = elementwise(operator.mul)
    divide = elementwise(operator.truediv, ieee.divide)
    power = elementwise(math.pow, ieee.power)
    maximum = elementwise(ieee.maximum)
    greater = elementwise(operator.gt)
    where = elementwise(lambda mask, a, b: a if mask else b)

    # Reductions ----------------------------------------------------------------------------------------------------

    def sum(self, axis: int | None = None, *, out: Self | None = None) -> Self:
        """The sum of each line."""
        return result(self, reduced(self, axis), map(sum, lines(self, axis)), out)

    def max(self, axis: int | None = None, *, out: Self | None = None) -> Self:
        """The greatest of each line, or nan."""
        return result(self, reduced(self, axis), map(greatest, lines(self, axis)), out)

    def argmax(self, axis: int | None = None) -> Self:
        """The position in its line of the first greatest element, or of the first nan."""
        positions = array(FORMATS[INDEX_DTYPE], map(position_of_greatest, lines(self, axis)))
        return type(self)(reduced(self, axis), INDEX_DTYPE, positions)

    # Linear algebra ------------------------------------------------------------------------------------------------

    def matmul(
        self, other: Self, transpose_a: bool = False, transpose_b: bool = False, *, out: Self | None = None
    ) -> Self:
        """See `product`."""
        m, n = product(self, other, transpose_a, transpose_b)
        k = self.rows if transpose_a else self.cols
        return result(self, (m, n), matrix_product(self.data, other.data, (m, k, n), transpose_a, transpose_b), out)

    # Layout --------------------------------------------------------------------------------------------------------

    def transpose(self) -> Self:
        """The columns, one after the other."""
        data = array(self.data.typecode)
        for column in lines(self, 0):
            data.extend(column)
        return result(self, (self.cols, self.rows), data)

    def reshape(self, rows: int, cols: int) -> Self:
        """A copy of the elements, as rows × cols."""
        return result(self, (rows, cols), self.data[:])

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Self:
        """The part of each row of the block."""
        data = array(self.data.typecode)
        for start in range(row_start * self.cols, row_stop * self.cols, self.cols or 1):
            data.extend(self.data[start + col_start : start + col_stop])
        return result(self, (row_stop - row_start, col_stop - col_start), data)

    def concat(self, *others: Self, axis: int) -> Self:
        """Whole matrices after each other (axis 0), or row by row (axis 1)."""
        parts = (self, *others)
        data = array(self.data.typecode)
        if axis == 0:
            for part in parts:
                data.extend(part.data)
        else:
            for rows in zip(*[lines(part, 1) for part in parts], strict=True):
                for row in rows:
                    data.extend(row)
        return result(self, concatenated(*parts, axis=axis), data)

    def take_rows(self, indices: Self, *, out: Self | None = None) -> Self:
        """A copy of each row that is named."""
        cols = self.cols
        data = array(self.data.typecode)
        for i in indices.data:
            data.extend(self.data[i * cols : (i + 1) * cols])
        return result(self, (indices.rows, cols), data, out)

    def add_rows(self, indices: Self, updates: Self, *, out: Self | None = None) -> Self:
        """Row after row of `updates` added to a copy."""
        cols = self.cols
        data = self.data[:]
        for i, update in zip(indices.data, lines(updates, 1), strict=True):
            row = data[i * cols : (i + 1) * cols]
            data[i * cols : (i + 1) * cols] = array(data.typecode, map(operator.add, row, update))
        return result(self, self.shape, data, out)

    # Control -------------------------------------------------------------------------------------------------------

    def assign(self, source: Self) -> None:
        """Copy the elements into this array: views of it see them."""
        self.data[:] = source.data

    @classmethod
    def synchronize(cls) -> None:
        """Nothing is ever under way."""


def greatest(line: Sequence[float]) -> float:
    """The greatest element; nan, if any is nan."""
    return math.nan if any(map(math.isnan, line)) else max(line)


def position_of_greatest(line: Sequence[float]) -> int:
    """Where the first greatest element is, or the first nan."""
    if any(map(math.isnan, line)):
        return next(position for position, x in enumerate(line) if math.isnan(x))
    return line.index(max(line))
