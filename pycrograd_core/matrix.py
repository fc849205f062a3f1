"""The backend contract, version 1.0.

A backend is one class: a subclass of `Matrix` whose methods are its kernels. The core validates first, so a kernel sees
valid operands of its own class: dense, two-dimensional, row-major, of one dtype, on one device. It never sees strides,
operators or autograd. After the flat kernels of dlsyscourse's NDArray.

The kernels declared abstract here are required. Every other op of the table has a decomposition into these, which a
backend may override by a method of the op's name and signature; the core owns the decomposition, and fused must equal
decomposed. `out` is a matrix of the result's shape and dtype that a kernel *may* write its result to, even where it is
also an operand; what the kernel returns is the truth.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, TypeVar

from .errors import BackendMismatchError, DataError, DtypeError, IndexRangeError, PycrogradError, Shape, ShapeError
from .host import host_array
from .op import FLOAT_DTYPES, INDEX_DTYPE, RESERVED, Op
from .operand import Operand

CONTRACT = (1, 0)
FORMATS = {"float32": "f", "float64": "d", "int32": "i"}  # dtype -> format character of the buffer protocol
DTYPES = (*FLOAT_DTYPES, INDEX_DTYPE)
CAPABILITIES = {  # what a backend may declare, and what that says
    "float64": "computes in float64 too",
    "host_memory": "`to_host` shares memory rather than copies it",
    "deterministic": "equal inputs give equal bits",
    "exact_capture": "in float64 a captured step gives the bits of an eager one",
    "costly_compile": "a warning: a program takes a second or more to compile",
}
_CONSTANTS_KEPT = 512
_IDENTITY_KEPT = 256

Kernel = Callable[..., Any]
HostBuffer: TypeAlias = Any  # anything with the buffer protocol: `collections.abc.Buffer`, from Python 3.12 on
M = TypeVar("M", bound="Matrix")


class KernelTable(dict[Op, Kernel]):
    """What computes each op on one matrix class: its own kernel, or the core's decomposition."""

    def __init__(self, matrix: type[Matrix]) -> None:
        super().__init__()
        self._matrix = matrix

    def __missing__(self, op: Op) -> Kernel:
        kernel = getattr(self._matrix, op.name, None) or _decomposed(op)
        self[op] = kernel
        return kernel

    def overrides(self, op: Op) -> bool:
        """Whether the backend computes a derived op by a kernel of its own."""
        return op.decomposition is not None and hasattr(self._matrix, op.name)


def _decomposed(op: Op) -> Kernel:
    decomposition = op.decomposition
    if decomposition is None:
        raise BackendMismatchError(f"{op.name} needs a kernel that this backend does not have")

    def kernel(*inputs: Any, out: Any = None, **params: Any) -> Any:
        result = decomposition(*inputs, **params)
        if any(result is x for x in inputs):  # a result is a value of its own
            return result.reshape(*result.shape)
        return result

    return kernel


class Matrix(Operand, ABC):
    """A rows × cols value on one device of one backend. Subclass it to write a backend.

    A subclass sets `shape`, `dtype`, `limits` (None) and `written` (0), through `super().__init__` or itself. It names
    its `device`; the loader sets `backend`. `capabilities` are named promises, those of `CAPABILITIES`.

    This holds of every kernel, also of one that overrides a derived op:

    - The result is a new matrix with memory of its own, never an operand, unless it is `out`. No later call touches it.
      Memory is freed with the matrix that it belongs to.
    - `out` may be used or ignored. What it holds before the call counts only if it is an operand.
    - Operands keep their values, but for one that is `out`, and are read as they are when the kernel is called.
      Nothing before or behind a matrix in memory is read or written.
    - Threads may be in kernels at the same time, on different matrices or reading the same ones.
    - The process stays as it is: global random numbers, NumPy's error handling, the processor's floating-point modes.
    - Values are right to within rounding in their dtype; sums may be added up in any order. Arithmetic may take
      denormals for zeros, but what only moves values, from or to the host too, keeps every bit.
    - A nan is never lost on its way to a result that depends on it, and never gets into one that does not.
    - With the capability `deterministic`, equal inputs give equal bits, in whatever thread.
    """

    __slots__ = ("dtype", "limits", "shape", "written")

    rank = 0
    written: int  # when this value was last overwritten in place, by the engine's clock; 0: never
    backend: ClassVar[str] = ""
    device: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[str]] = frozenset()
    compiled_ops: ClassVar[frozenset[str] | None] = None  # derived ops that `compile` takes whole; None: the overridden
    kernels: ClassVar[KernelTable]
    constants: ClassVar[dict[Any, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kernels = KernelTable(cls)
        cls.constants = {}

    def __init__(self, shape: Shape, dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.limits: tuple[int, int] | None = None  # of int32 values, the least and greatest, where known
        self.written = 0

    # Host ----------------------------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def from_host(cls: type[M], buffer: HostBuffer, rows: int, cols: int, dtype: str) -> M:
        """A matrix with a copy of a contiguous, row-major host buffer of `dtype` (float32, float64 or int32)."""

    @classmethod
    def from_owned(cls, array: Any, rows: int, cols: int, dtype: str) -> Any:
        """A matrix of a contiguous NumPy array of `dtype` that nobody else uses: its memory may become the matrix's."""
        return cls.from_host(array, rows, cols, dtype)

    @abstractmethod
    def to_host(self) -> HostBuffer:
        """The values as a contiguous, row-major buffer of this dtype. The core only reads it, and copies."""

    @classmethod
    @abstractmethod
    def full(cls: type[M], rows: int, cols: int, value: float, dtype: str) -> M:
        """A matrix filled with one number."""

    # Elementwise: extents of 1 broadcast, and a scalar is a 1×1 ----------------------------------------------------

    @abstractmethod
    def exp(self: M, *, out: M | None = None) -> M:
        """e to the power of each element."""

    @abstractmethod
    def log(self: M, *, out: M | None = None) -> M:
        """Natural logarithm: log 0 = -inf, of a negative number nan."""

    @abstractmethod
    def sqrt(self: M, *, out: M | None = None) -> M:
        """Square root, of a negative number nan."""

    @abstractmethod
    def tanh(self: M, *, out: M | None = None) -> M:
        """Hyperbolic tangent."""

    @abstractmethod
    def add(self: M, other: M, *, out: M | None = None) -> M:
        """a + b."""

    @abstractmethod
    def subtract(self: M, other: M, *, out: M | None = None) -> M:
        """a - b."""

    @abstractmethod
    def multiply(self: M, other: M, *, out: M | None = None) -> M:
        """a · b, element by element."""

    @abstractmethod
    def divide(self: M, other: M, *, out: M | None = None) -> M:
        """a / b by IEEE 754: x/0 is ±inf, 0/0 nan."""

    @abstractmethod
    def power(self: M, other: M, *, out: M | None = None) -> M:
        """a to the power of b, as C's `pow`: a negative base with a fractional exponent gives nan."""

    @abstractmethod
    def maximum(self: M, other: M, *, out: M | None = None) -> M:
        """The greater of a and b; nan if either is nan."""

    @abstractmethod
    def greater(self: M, other: M, *, out: M | None = None) -> M:
        """1 where a > b, else 0 (also where either is nan)."""

    @abstractmethod
    def where(self: M, a: M, b: M, *, out: M | None = None) -> M:
        """`a` where this mask is not 0, else `b`: a choice, never arithmetic, so nan does not leak."""

    # Reductions: axis 0 over rows (1 × cols), axis 1 over columns (rows × 1), None over all (1 × 1) ------------------

    @abstractmethod
    def sum(self: M, axis: int | None = None, *, out: M | None = None) -> M:
        """The sum; of no elements 0."""

    @abstractmethod
    def max(self: M, axis: int | None = None, *, out: M | None = None) -> M:
        """The greatest element; nan if any is nan. The core refuses to reduce no elements."""

    @abstractmethod
    def argmax(self: M, axis: int | None = None) -> M:
        """The int32 position of the first greatest element (of the first nan, if any); for None, of the flat matrix."""

    # Linear algebra ------------------------------------------------------------------------------------------------

    @abstractmethod
    def matmul(self: M, other: M, transpose_a: bool = False, transpose_b: bool = False, *, out: M | None = None) -> M:
        """The matrix product of a (or aᵀ) and b (or bᵀ). `out` is never an operand."""

    # Layout: these also take int32 ---------------------------------------------------------------------------------

    @abstractmethod
    def transpose(self: M) -> M:
        """The transpose, stored row-major."""

    @abstractmethod
    def reshape(self: M, rows: int, cols: int) -> M:
        """A copy of the elements, in row-major order, as rows × cols."""

    @abstractmethod
    def slice(self: M, row_start: int, row_stop: int, col_start: int, col_stop: int) -> M:
        """A copy of a block of rows and columns."""

    @abstractmethod
    def concat(self: M, *others: M, axis: int) -> M:
        """This matrix and others, one below the other (axis 0) or side by side (axis 1)."""

    @abstractmethod
    def take_rows(self: M, indices: M, *, out: M | None = None) -> M:
        """Row `indices[i]` of this matrix as row i. `indices` is n × 1, int32, within range; repeats are allowed."""

    @abstractmethod
    def add_rows(self: M, indices: M, updates: M, *, out: M | None = None) -> M:
        """This matrix with `updates[i]` added to row `indices[i]`; repeats accumulate."""

    # Control -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def assign(self: M, source: M) -> None:
        """Overwrite this matrix with the values of another of its shape and dtype."""

    @classmethod
    @abstractmethod
    def synchronize(cls) -> None:
        """Wait until all work issued so far is done."""

    @classmethod
    def compile(cls, program: Any) -> Callable[..., Sequence[Any]] | None:
        """A captured program (`pycrograd_core.capture.Program`) as one function, or None: the core then replays it.

        The function takes a matrix for each of `program.arguments`, calls `program.feeds`, writes `program.states` as
        `program.updates` says, and returns a new matrix for each of `program.outputs`, which shares memory with none.
        A program with `stacked` arguments is a loop (see `Program`): a backend that returns None is given one step.
        """
        return None

    # Semantics, the same for every backend -------------------------------------------------------------------------

    @staticmethod
    def evaluate(op: Op, inputs: Sequence[Any], params: Mapping[str, Any], out: Any = None) -> Any:
        """Validate, then run the kernel: the only way that the core calls one."""
        kind = type(inputs[0])
        for x in inputs:
            if type(x) is not kind:
                inputs, kind = _unified(op, inputs)
                break
        dtype = inputs[0].dtype
        if op.indices or dtype == INDEX_DTYPE:
            return _evaluate_with_indices(op, kind, inputs, params, out)
        for x in inputs:
            if x.dtype != dtype:
                raise DtypeError(f"{op.name}: {' and '.join(each.dtype for each in inputs)} do not mix; convert one")
        if op.shape is not None:
            op.result_shape(inputs, params)
        if out is None:
            return kind.kernels[op](*inputs, **params)
        return kind.kernels[op](*inputs, **params, out=out)

    def update(self, op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> None:
        """Overwrite this matrix with the result of an op, in place where the kernel can write to `out`."""
        if op.shape is not None and op.result_shape(inputs, params) != self.shape:
            raise ShapeError(op.name, [x.shape for x in inputs], f"the result does not fit into {self.shape}")
        result = Matrix.evaluate(op, inputs, params, self if op.takes_out else None)
        if result is not self:
            if type(result) is not type(self) or (result.shape, result.dtype) != (self.shape, self.dtype):
                raise DtypeError(f"{op.name}: the result is no {self.dtype} value like the one that it is to replace")
            self.assign(result)
        self.limits = None

    @classmethod
    def from_feed(cls, draw: Callable[[int, int], HostBuffer], rows: int, cols: int, dtype: str) -> Any:
        """A matrix of what `draw(rows, cols)` returns: host data that are new in each step."""
        drawn = host_array(draw(rows, cols), dtype)
        if drawn.shape != (rows, cols):
            raise DataError(f"what was to be drawn is {rows}×{cols}; got {drawn.shape[0]}×{drawn.shape[1]}")
        return cls.from_host(drawn, rows, cols, dtype)

    def check_indices(self, op: Op, bound: int) -> None:
        """Raise IndexRangeError if a value is outside [0, bound). Reads the values where their limits do not tell."""
        if 0 in self.shape or (self.limits is not None and self.limits[0] >= 0 and self.limits[1] < bound):
            return
        values = memoryview(self.to_host()).cast("B").cast("i")
        self.limits = limits = (min(values), max(values))
        if limits[0] < 0 or limits[1] >= bound:
            position, wrong = next((i, v) for i, v in enumerate(values) if not 0 <= v < bound)
            raise IndexRangeError(f"{op.name}: index {wrong} at position {position} is outside 0 … {bound - 1}")

    @classmethod
    def stray(cls, op: Op) -> PycrogradError | None:
        """Why a matrix of this class is among those of another in an op, if there is more to say than that it is."""
        return None

    def new_full(self, rows: int, cols: int, value: float) -> Any:
        """A matrix of this class and dtype filled with one number."""
        return self.full(rows, cols, value, self.dtype)

    @classmethod
    def number(cls, value: float, dtype: str) -> Any:
        """A Python number as a 1×1 matrix. Made once and shared: never write to it."""
        if value == 0 and math.copysign(1, value) < 0:
            return cls.full(1, 1, value, dtype)  # as a key, -0.0 would find 0.0
        kept = cls.constants.get((value, dtype))
        return cls.constant((value, dtype), lambda: cls.full(1, 1, value, dtype)) if kept is None else kept

    def identity(self, size: int, dtype: str) -> Any:
        """The size × size identity matrix on this backend and device. A small one is kept and shared: do not write."""

        def make() -> Any:
            values = array(FORMATS[dtype], bytes(size * size * array(FORMATS[dtype]).itemsize))
            values[:: size + 1] = array(FORMATS[dtype], [1]) * size
            return self.from_host(values, size, size, dtype)

        return self.constant(("identity", size, dtype), make) if size <= _IDENTITY_KEPT else make()

    @classmethod
    def constant(cls, key: Any, make: Callable[[], Any]) -> Any:
        """A value that is made once, then shared. When too many are kept, all are dropped."""
        value = cls.constants.get(key)
        if value is None:
            if len(cls.constants) >= _CONSTANTS_KEPT:
                cls.constants.clear()
            value = cls.constants[key] = make()
        return value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape[0]}×{self.shape[1]} {self.dtype} on {self.backend}>"


def _unified(op: Op, inputs: Sequence[Any]) -> tuple[list[Any], type[Matrix]]:
    """The inputs with Python numbers made 1×1 matrices. Raises if matrices of two backends or devices meet."""
    first = next(x for x in inputs if isinstance(x, Matrix))
    kind = type(first)
    dtype = next((x.dtype for x in inputs if isinstance(x, Matrix) and x.dtype != INDEX_DTYPE), first.dtype)
    unified = []
    for x in inputs:
        if type(x) is kind:
            unified.append(x)
        elif isinstance(x, (int, float)):
            unified.append(kind.number(float(x), "float32" if dtype == INDEX_DTYPE else dtype))
        elif isinstance(x, Matrix):
            raise (
                type(x).stray(op)
                or kind.stray(op)
                or BackendMismatchError(f"{op.name}: {_place(kind)} and {_place(type(x))} do not mix; move one first")
            )
        else:
            raise DtypeError(f"{op.name}: expected a matrix or a number, got {type(x).__name__}")
    return unified, kind


def _place(kind: type[Matrix]) -> str:
    return f"backend {kind.backend!r}, device {kind.device!r}" if kind.device else f"backend {kind.backend!r}"


def _evaluate_with_indices(
    op: Op, kind: type[Matrix], inputs: Sequence[Any], params: Mapping[str, Any], out: Any
) -> Any:
    """`Matrix.evaluate` where some input is int32: indices stay within their range, and are never computed with."""
    values = [x for position, x in enumerate(inputs) if position not in op.indices] if op.indices else inputs
    dtype = values[0].dtype if values else None
    if dtype == INDEX_DTYPE and not op.accepts_indices:
        raise DtypeError(f"{op.name}: int32 matrices are row numbers and labels, not for arithmetic; use float32")
    for x in values:
        if x.dtype != dtype:
            raise DtypeError(f"{op.name}: {' and '.join(each.dtype for each in values)} do not mix; convert one")
    for position in op.indices:
        if inputs[position].dtype != INDEX_DTYPE:
            raise DtypeError(
                f"{op.name}: input {position} holds indices and must be int32, not {inputs[position].dtype}"
            )
    if op.shape is not None:
        op.result_shape(inputs, params)
    if op.index_bound is not None:
        bound = op.index_bound(*inputs, **params)
        for position in op.indices:
            inputs[position].check_indices(op, bound)
    kernel = kind.kernels[op]
    result = kernel(*inputs, **params) if out is None else kernel(*inputs, **params, out=out)
    if dtype == INDEX_DTYPE and all(x.limits for x in values):
        result.limits = (min(x.limits[0] for x in values), max(x.limits[1] for x in values))
    return result


RESERVED.update(name for name in dir(Matrix) if name not in Matrix.__abstractmethods__)
RESERVED.update({"assign", "constants", "from_host", "full", "kernels", "synchronize", "to_host"})
