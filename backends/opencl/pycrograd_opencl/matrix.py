"""OpenCL's matrices: a device buffer each, and the kernels of the contract as launches on the device's queue."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyopencl as cl

from pycrograd_core.capture.program import WIDTHS
from pycrograd_core.matrix import HostBuffer, Matrix
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops.shapes import broadcast

from .eager.kernels import Kernels
from .expressions import numbers
from .gemm import eager_product
from .runtime import Runtime, runtime_of

if TYPE_CHECKING:
    from pycrograd_core.errors import Shape

    from .devices import Device

_classes: dict[Device, type[OpenCLMatrix]] = {}
_lock = threading.Lock()


def _elementwise(op: str) -> Callable[..., Any]:
    """A kernel of elementwise operands: of one shape, or broadcast."""
    name = f"{op}_elements"

    def kernel(self: OpenCLMatrix, *others: OpenCLMatrix, out: OpenCLMatrix | None = None, **params: Any) -> Any:
        operands = (self, *others)
        shape, extents, (rows, cols, count) = _extents(tuple([x.shape for x in operands]))
        y = self.empty(*shape, self.dtype) if out is None else out
        if count:
            eager = self.eager(self.dtype)
            size = eager.groups(rows * -(-cols // eager.piece), count)
            reals = [value for _, value in sorted(numbers(op, params).items())] if params else ()
            eager.launch(name, size, y.buffer, *[x.buffer for x in operands], *extents, *reals)
        return y

    return kernel


class OpenCLMatrix(Matrix):
    """Rows × cols in a buffer of a device. A class of its own for each device: `matrix_on` makes it.

    `home` is where it lives if its buffer is a part of another: that one, and the first byte.
    """

    __slots__ = ("buffer", "home")

    runtime: ClassVar[Runtime]
    _eager: ClassVar[dict[str, Kernels]]
    compiled_ops = frozenset({
        "abs", "accumulate", "adam_update", "broadcast_to", "clip", "count_correct", "cross_entropy",
        "cross_entropy_gradient", "dropout", "equal", "greater_equal", "less", "less_equal", "log_softmax", "minimum",
        "negative", "not_equal", "one_hot", "relu", "relu_gradient", "sgd_update", "sigmoid", "softmax",
    })  # fmt: skip

    def __init__(self, buffer: Any, shape: Shape, dtype: str) -> None:
        self.buffer = buffer
        self.home: tuple[Any, int] | None = None
        self.shape = shape
        self.dtype = dtype
        self.limits = None
        self.written = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.reshape(*self.shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.device, bytes(self.to_host()), *self.shape, self.dtype)

    @classmethod
    def empty(cls, rows: int, cols: int, dtype: str) -> Any:
        """A matrix of whatever the memory holds."""
        return cls(cls.runtime.allocate(rows * cols * WIDTHS[dtype]), (rows, cols), dtype)

    @classmethod
    def eager(cls, dtype: str) -> Kernels:
        """The kernels of a dtype. Elements of int32 are moved by those of float32."""
        kernels = cls._eager.get(dtype)
        if kernels is None:
            made = cls.eager("float32") if dtype == INDEX_DTYPE else Kernels(cls.runtime, dtype)
            kernels = cls._eager.setdefault(dtype, made)
        return kernels

    # Host ----------------------------------------------------------------------------------------------------------

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Any:
        return cls(cls.runtime.memory.copied(np.frombuffer(buffer, dtype)), (rows, cols), dtype)

    def to_host(self) -> HostBuffer:
        array = np.empty(self.shape, self.dtype)
        if array.size:
            try:
                cl.enqueue_copy(self.runtime.queue, array, self.buffer)
            except cl.Error as error:
                self.runtime.memory.exhausted(error)
        return array.data

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> Any:
        y = cls.empty(rows, cols, dtype)
        if rows and cols:
            eager = cls.eager(dtype)
            size = eager.groups(rows * cols, rows * cols)
            eager.launch("fill", size, y.buffer, rows * cols, _word(value, dtype))
        return y

    # Elementwise ---------------------------------------------------------------------------------------------------

    exp = _elementwise("exp")
    log = _elementwise("log")
    sqrt = _elementwise("sqrt")
    tanh = _elementwise("tanh")
    add = _elementwise("add")
    subtract = _elementwise("subtract")
    multiply = _elementwise("multiply")
    divide = _elementwise("divide")
    power = _elementwise("power")
    maximum = _elementwise("maximum")
    greater = _elementwise("greater")
    where = _elementwise("where")

    # Reductions ----------------------------------------------------------------------------------------------------

    def sum(self, axis: int | None = None, *, out: OpenCLMatrix | None = None) -> Any:
        return self._reduced("sum", axis, out)

    def max(self, axis: int | None = None, *, out: OpenCLMatrix | None = None) -> Any:
        return self._reduced("max", axis, out)

    def mean(self, axis: int | None = None, *, out: OpenCLMatrix | None = None) -> Any:
        rows, cols = self.shape
        return self._reduced("sum", axis, out, 1.0 / {None: rows * cols, 0: rows, 1: cols}[axis])

    def _reduced(self, op: str, axis: int | None, out: OpenCLMatrix | None, scale: float = 1.0) -> Any:
        """Parts of every row or column, then the parts of that, until each is one."""
        rows, cols = self.shape
        shape = (1 if axis != 1 else rows, 1 if axis != 0 else cols)
        if axis is None or (axis == 0 and cols == 1):
            axis, rows, cols = 1, 1, rows * cols
        eager, x = self.eager(self.dtype), self
        kernel = f"{op}_rows" if axis == 1 else f"{op}_columns"
        while True:
            independent, length = (rows, cols) if axis == 1 else (cols, rows)
            parts = eager.parts(independent, length)
            pieces = independent if axis == 1 else -(-cols // eager.lanes)
            size = eager.groups(pieces * parts, rows * cols)
            if parts == 1:
                y = self.empty(*shape, self.dtype) if out is None or out is self else out
                if pieces:
                    eager.launch(kernel, size, y.buffer, x.buffer, rows, cols, parts, scale)
                return y
            y = self.empty(rows, parts, self.dtype) if axis == 1 else self.empty(parts, cols, self.dtype)
            eager.launch(kernel, size, y.buffer, x.buffer, rows, cols, parts, 1.0)
            x, (rows, cols) = y, y.shape

    def argmax(self, axis: int | None = None) -> Any:
        rows, cols = self.shape
        shape = (1 if axis != 1 else rows, 1 if axis != 0 else cols)
        y = self.empty(*shape, INDEX_DTYPE)
        return self._each("argmax", y, (self.buffer,), axis)

    def _each(self, kernel: str, y: OpenCLMatrix, buffers: tuple[Any, ...], axis: int | None) -> OpenCLMatrix:
        """A kernel with a work-item for each row, each column, or everything at once."""
        rows, cols = self.shape
        sequences = {None: (1, rows * cols, 0, 1), 0: (cols, rows, 1, cols), 1: (rows, cols, cols, 1)}[axis]
        if rows and cols:
            eager = self.eager(self.dtype)
            eager.launch(kernel, eager.groups(sequences[0], rows * cols), y.buffer, *buffers, *sequences)
        return y

    # Linear algebra ------------------------------------------------------------------------------------------------

    def matmul(
        self, other: OpenCLMatrix, transpose_a: bool = False, transpose_b: bool = False,
        *, out: OpenCLMatrix | None = None,
    ) -> Any:  # fmt: skip
        rows, inner = self.shape[::-1] if transpose_a else self.shape
        cols = other.shape[0 if transpose_b else 1]
        if not inner:
            return self.full(rows, cols, 0.0, self.dtype)
        y = self.empty(rows, cols, self.dtype) if out is None else out
        if rows and cols:
            product = eager_product(rows, cols, inner, transpose_a, transpose_b, self.dtype, self.runtime.device)
            self.eager(self.dtype).multiply(product, rows, cols, inner, self.buffer, other.buffer, y.buffer)
        return y

    def linear(self, weight: OpenCLMatrix, bias: OpenCLMatrix, *, out: OpenCLMatrix | None = None) -> Any:
        y = self.matmul(weight, out=None if out is bias else out)
        return y.add(bias, out=y)

    # Layout --------------------------------------------------------------------------------------------------------

    def transpose(self) -> Any:
        rows, cols = self.shape
        return _copy(self, self.empty(cols, rows, self.dtype), cols, rows, x_row=1, x_col=cols)

    def reshape(self, rows: int, cols: int) -> Any:
        y = self.empty(rows, cols, self.dtype)
        y.assign(self)
        return y

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Any:
        rows, cols = row_stop - row_start, col_stop - col_start
        start = row_start * self.shape[1] + col_start
        return _copy(self, self.empty(rows, cols, self.dtype), rows, cols, x_start=start, x_row=self.shape[1])

    def concat(self, *others: OpenCLMatrix, axis: int) -> Any:
        parts = (self, *others)
        rows, cols = self.shape
        total = sum(part.shape[axis] for part in parts)
        y = self.empty(total, cols, self.dtype) if axis == 0 else self.empty(rows, total, self.dtype)
        start = 0
        for part in parts:
            _copy(part, y, *part.shape, y_start=start, x_row=part.shape[1])
            start += part.shape[0] * cols if axis == 0 else part.shape[1]
        return y

    def broadcast_to(self, rows: int, cols: int, *, out: OpenCLMatrix | None = None) -> Any:
        y = self.empty(rows, cols, self.dtype)
        strides = _strides(self.shape)
        return _copy(self, y, rows, cols, x_row=strides[0], x_col=strides[1])

    def take_rows(self, indices: OpenCLMatrix, *, out: OpenCLMatrix | None = None) -> Any:
        rows, cols = indices.shape[0], self.shape[1]
        y = self.empty(rows, cols, self.dtype)
        if rows and cols:
            eager = self.eager(self.dtype)
            size = eager.groups(rows * -(-cols // eager.piece), rows * cols)
            eager.launch("take_rows", size, y.buffer, self.buffer, indices.buffer, rows, cols)
        return y

    def add_rows(self, indices: OpenCLMatrix, updates: OpenCLMatrix, *, out: OpenCLMatrix | None = None) -> Any:
        y = self if out is self else self.reshape(*self.shape)
        rows, cols = updates.shape
        if rows and cols:
            eager = self.eager(self.dtype)
            size = eager.groups(cols, rows * cols)
            eager.launch("add_rows", size, y.buffer, indices.buffer, updates.buffer, rows, cols)
        return y

    # Control -------------------------------------------------------------------------------------------------------

    def assign(self, source: OpenCLMatrix) -> None:
        size = source.shape[0] * source.shape[1]
        _copy(source, self, 1, size)

    @classmethod
    def synchronize(cls) -> None:
        cls.runtime.wait()

    @classmethod
    def compile(cls, program: Any) -> Callable[..., Sequence[Any]] | None:
        from .compiled import compiled

        return compiled(program, cls)

    # Derived ops ---------------------------------------------------------------------------------------------------

    negative = _elementwise("negative")
    abs = _elementwise("abs")
    minimum = _elementwise("minimum")
    less = _elementwise("less")
    equal = _elementwise("equal")
    not_equal = _elementwise("not_equal")
    greater_equal = _elementwise("greater_equal")
    less_equal = _elementwise("less_equal")
    clip = _elementwise("clip")
    relu = _elementwise("relu")
    relu_gradient = _elementwise("relu_gradient")
    sigmoid = _elementwise("sigmoid")
    dropout = _elementwise("dropout")
    sgd_update = _elementwise("sgd_update")
    accumulate = _elementwise("accumulate")
    adam_update = _elementwise("adam_update")

    def softmax(self, axis: int = 1, *, out: OpenCLMatrix | None = None) -> Any:
        return self._each("softmax", out or self.empty(*self.shape, self.dtype), (self.buffer,), axis)

    def log_softmax(self, axis: int = 1, *, out: OpenCLMatrix | None = None) -> Any:
        return self._each("log_softmax", out or self.empty(*self.shape, self.dtype), (self.buffer,), axis)

    def cross_entropy(self, labels: OpenCLMatrix, *, out: OpenCLMatrix | None = None) -> Any:
        losses = self.empty(self.shape[0], 1, self.dtype)
        return self._by_rows("cross_entropy", losses, self.buffer, labels.buffer).mean(out=out)

    def cross_entropy_gradient(
        self, logits: OpenCLMatrix, labels: OpenCLMatrix, *, out: OpenCLMatrix | None = None
    ) -> Any:
        y = out if out is not None and out is not self else self.empty(*logits.shape, self.dtype)
        return logits._by_rows("cross_entropy_gradient", y, self.buffer, logits.buffer, labels.buffer)

    def count_correct(self, labels: OpenCLMatrix, *, out: OpenCLMatrix | None = None) -> Any:
        right = self.empty(self.shape[0], 1, self.dtype)
        return self._by_rows("correct", right, self.buffer, labels.buffer).sum(out=out)

    def one_hot(self, classes: int, dtype: str = "float32", *, out: OpenCLMatrix | None = None) -> Any:
        rows = self.shape[0]
        y = self.empty(rows, classes, dtype)
        if rows:
            eager = self.eager(dtype)
            size = eager.groups(rows * classes, rows * classes)
            eager.launch("one_hot", size, y.buffer, self.buffer, rows, classes, _word(1, dtype))
        return y

    def _by_rows(self, kernel: str, y: OpenCLMatrix, *buffers: Any) -> Any:
        """A kernel with a work-item for each row of this matrix."""
        rows, cols = self.shape
        if rows and cols:
            eager = self.eager(self.dtype)
            eager.launch(kernel, eager.groups(rows, rows * cols), y.buffer, *buffers, rows, cols)
        return y


def _copy(
    x: OpenCLMatrix, y: OpenCLMatrix, rows: int, cols: int,
    *, y_start: int = 0, x_start: int = 0, x_row: int = 0, x_col: int = 1,
) -> OpenCLMatrix:  # fmt: skip
    """`y` with rows × cols elements of `x`, from `x_start` by these strides, copied to `y_start` on."""
    if rows and cols:
        eager = x.eager(x.dtype)
        size = eager.groups(rows * -(-cols // eager.piece), rows * cols)
        eager.launch("copy", size, y.buffer, x.buffer, rows, cols, y_start, y.shape[1], x_start, x_row, x_col)
    return y


def matrix_on(chosen: Device) -> type[OpenCLMatrix]:
    """The class of a device's matrices: the same one every time."""
    with _lock:
        if chosen not in _classes:

            class Bound(OpenCLMatrix):
                """Rows × cols in a buffer of one device."""

                __slots__ = ()

                runtime = runtime_of(chosen)
                device = chosen.label
                capabilities = frozenset({"costly_compile", "deterministic", *(["float64"] if chosen.float64 else [])})
                _eager: ClassVar[dict[str, Kernels]] = {}

            Bound.__name__ = Bound.__qualname__ = OpenCLMatrix.__name__
            _classes[chosen] = Bound
        return _classes[chosen]


def _unpickled(label: str, values: bytes, rows: int, cols: int, dtype: str) -> OpenCLMatrix:
    """A matrix on the device of this label. Raises BackendError if this process has no such device."""
    from .devices import choose

    made: OpenCLMatrix = matrix_on(choose(label)).from_host(values, rows, cols, dtype)
    return made


def _word(value: float, dtype: str) -> int:
    """The bits of a number."""
    word: int = np.array(value, dtype).view(f"u{WIDTHS[dtype]}").item()
    return word


@lru_cache(maxsize=4096)
def _extents(shapes: tuple[Shape, ...]) -> tuple[Shape, tuple[int, ...], tuple[int, int, int]]:
    """The shape of an elementwise result; rows, columns and strides for its kernel; rows, columns and elements."""
    shape = shapes[0] if len(set(shapes)) == 1 else broadcast(*shapes)
    rows, cols = shape
    count = rows * cols
    same = all(each in (shape, (1, 1)) for each in shapes)
    if same:  # one long row
        rows, cols = 1, count
    strides = [(0, 0) if each == (1, 1) else (0, 1) if same else _strides(each) for each in shapes]
    return shape, (rows, cols, *[stride for pair in strides for stride in pair]), (rows, cols, count)


def _strides(shape: Shape) -> tuple[int, int]:
    """How far apart rows and columns are, 0 where they repeat."""
    rows, cols = shape
    return cols if rows > 1 else 0, 1 if cols > 1 else 0
