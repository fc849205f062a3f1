"""One matrix for every namespace of the Python array API, https://data-apis.org/array-api/latest"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Self

import numpy as np

from pycrograd_core.matrix import HostBuffer, Matrix

WAITS = {  # how to wait for a device, for which the standard has no word; elsewhere calls return when they are done
    "torch": lambda place: place.type == "cpu" or import_module("torch").accelerator.synchronize(place),
    "jax": lambda place: import_module("jax").block_until_ready(import_module("jax").live_arrays(place.platform)),
    "cupy": lambda place: place.synchronize(),
}
_classes: dict[str, type[ArrayMatrix]] = {}


def bound(name: str, xp: Any, place: Any) -> type[ArrayMatrix]:
    """The matrix class of a namespace on one of its devices: for the same device the same class."""
    device = f"{name}:{place}"
    if device not in _classes:
        floats = xp.__array_namespace_info__().dtypes(device=place, kind="real floating")
        capabilities = {"float64"} & floats.keys()  # which JAX, for one, has only where it is told so
        capabilities |= {"deterministic"} if "cpu" in device.lower() else set()  # of GPUs not every library promises it
        members = {"xp": xp, "place": place, "device": device, "capabilities": frozenset(capabilities)}
        _classes[device] = type("ArrayMatrix", (ArrayMatrix,), {**members, "name": name, "__slots__": ()})
    return _classes[device]


def _elementwise(name: str) -> Callable[..., Any]:
    """A kernel that is the standard's function of this name."""

    def kernel(self: ArrayMatrix, *others: ArrayMatrix, out: Any = None) -> ArrayMatrix:
        return self._called(name, self.array, *[x.array for x in others])

    return kernel


class ArrayMatrix(Matrix):
    """An array that nobody writes to, since some namespaces have no other: `assign` puts another one in its place.

    So matrices may share an array, a view is as good as a copy, and `out` is of no use.
    """

    __slots__ = ("array",)

    name: ClassVar[str]  # of the namespace
    xp: ClassVar[Any]  # the namespace
    place: ClassVar[Any]  # what it calls the device

    def __init__(self, array: Any, dtype: str) -> None:
        super().__init__(tuple(array.shape), dtype)
        self.array = array

    def _called(self, name: str, *arguments: Any, **named: Any) -> Self:
        """A matrix of what a function of the standard returns."""
        with np.errstate(all="ignore"):  # IEEE 754 says what comes out; some namespaces are over NumPy
            return type(self)(getattr(self.xp, name)(*arguments, **named), self.dtype)

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Self:
        return cls.from_owned(np.frombuffer(buffer, dtype).reshape(rows, cols).copy(), rows, cols, dtype)

    @classmethod
    def from_owned(cls, array: Any, rows: int, cols: int, dtype: str) -> Self:
        return cls(cls.xp.asarray(array, device=cls.place), dtype)

    def to_host(self) -> HostBuffer:
        return np.ascontiguousarray(np.from_dlpack(self.array, device="cpu"))  # copies views

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> Self:
        return cls(cls.xp.full((rows, cols), value, dtype=getattr(cls.xp, dtype), device=cls.place), dtype)

    exp, log, sqrt, tanh = map(_elementwise, ("exp", "log", "sqrt", "tanh"))
    add, subtract, multiply, divide, maximum = map(_elementwise, ("add", "subtract", "multiply", "divide", "maximum"))

    def power(self, other: Self, *, out: Any = None) -> Self:
        # products make zeros of denormal numbers where the library has them for zeros: XLA has their powers wrong
        return self._called("pow", self.array * 1.0, other.array * 1.0)

    def greater(self, other: Self, *, out: Any = None) -> Self:
        return self._called("astype", self.array > other.array, self.array.dtype)

    def where(self, a: Self, b: Self, *, out: Any = None) -> Self:
        return self._called("where", self.array != 0, a.array, b.array)

    def sum(self, axis: int | None = None, *, out: Any = None) -> Self:
        return self._called("sum", self.array, axis=axis, keepdims=True, dtype=self.array.dtype)

    def max(self, axis: int | None = None, *, out: Any = None) -> Self:
        return self._called("max", self.array, axis=axis, keepdims=True)

    def argmax(self, axis: int | None = None) -> Self:
        # of nan the standard says nothing: all of these libraries take the first for the greatest
        positions = self.xp.argmax(self.array, axis=axis, keepdims=True)
        return type(self)(self.xp.astype(positions, self.xp.int32), "int32")

    def matmul(self, other: Self, transpose_a: bool = False, transpose_b: bool = False, *, out: Any = None) -> Self:
        a = self.array.T if transpose_a else self.array
        return self._called("matmul", a, other.array.T if transpose_b else other.array)

    def transpose(self) -> Self:
        return type(self)(self.array.T, self.dtype)

    def reshape(self, rows: int, cols: int) -> Self:
        return self._called("reshape", self.array, (rows, cols))

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Self:
        return type(self)(self.array[row_start:row_stop, col_start:col_stop], self.dtype)

    def concat(self, *others: Self, axis: int) -> Self:
        return self._called("concat", [self.array, *[x.array for x in others]], axis=axis)

    def take_rows(self, indices: Self, *, out: Any = None) -> Self:
        return self._called("take", self.array, indices.array[:, 0], axis=0)

    def add_rows(self, indices: Self, updates: Self, *, out: Any = None) -> Self:
        # The standard has no scatter. A row and its updates are sorted to be neighbours. Each is a total, which takes
        # in the total 1, then 2, 4, … places before it, if that is of the same row: in the end the last one has all.
        xp = self.xp
        every = xp.arange(self.shape[0], dtype=xp.int32, device=self.place)
        rows = xp.concat([every, indices.array[:, 0]])
        order = xp.argsort(rows)
        rows, totals = xp.take(rows, order), xp.take(xp.concat([self.array, updates.array]), order, axis=0)
        first = xp.searchsorted(rows, rows)
        places = xp.arange(rows.shape[0], dtype=first.dtype, device=self.place)
        for power in range(indices.shape[0].bit_length()):
            before = places - 2**power
            more = totals + xp.take(totals, xp.maximum(before, 0), axis=0)
            totals = xp.where((before >= first)[:, None], more, totals)
        return self._called("take", totals, xp.searchsorted(rows, every, side="right") - 1, axis=0)

    def assign(self, source: Self) -> None:
        self.array = source.array

    @classmethod
    def synchronize(cls) -> None:
        if cls.name in WAITS:
            WAITS[cls.name](cls.place)
