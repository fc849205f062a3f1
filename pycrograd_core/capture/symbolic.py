"""Tracing is just another backend: a matrix that holds no values, and records kernels instead of running them.

In the trace a matrix is a place in memory. What it holds at a moment is a `Value` of the program; a write in place
makes it hold another, and changes nothing that was recorded before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pycrograd_core.errors import CaptureError, PycrogradError, Shape
from pycrograd_core.matrix import HostBuffer, Kernel, KernelTable, Matrix
from pycrograd_core.op import INDEX_DTYPE, TABLE, Op

from .misuse import KEPT, NOT_KEPT, READ
from .program import Constant, Instruction, Value

if TYPE_CHECKING:
    from .recorder import Recorder


_CORE = __name__.partition(".")[0]


class _Recording(KernelTable):
    """Records ops of the core, and those that the backend has a kernel for, as one instruction.

    Any other is recorded as what it decomposes into: a user's decomposition may read numbers that change.
    """

    def __missing__(self, op: Op) -> Kernel:
        symbols: Any = self._matrix

        def kernel(*inputs: Any, out: Any = None, **params: Any) -> Any:
            return symbols.record(op, inputs, params)

        ours = op.decomposition is None or op.decomposition.__module__.partition(".")[0] == _CORE
        whole = op.shape is not None and (ours or symbols.recorder.matrix.kernels.overrides(op))
        self[op] = kernel if whole else super().__missing__(op)
        return self[op]


class SymbolicMatrix(Matrix):
    """A shape and a dtype, and the value of the program that stands for what is held now.

    A trace derives a class of its own, whose `recorder` notes what happens to its matrices.
    """

    __slots__ = ("current", "first", "made", "sources")

    backend = device = "symbolic"
    capabilities = frozenset({"float64"})
    recorder: ClassVar[Recorder]

    def __init__(self, current: Value, *, made: bool = False, sources: frozenset[Value] = frozenset()) -> None:
        super().__init__(current.shape, current.dtype)
        self.current = self.first = current
        self.made = made  # from host data or one number, within the step: not an input, and not computed
        self.sources = sources  # of int32 values: the inputs that they were selected from

    @classmethod
    def record(cls, op: Op, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """One instruction. Returns the matrix that it makes."""
        cls.recorder.check_open()
        dtype = op.dtype_of(inputs, params)
        output = Value(op.result_shape(inputs, params), dtype)
        cls.recorder.body.append(Instruction(op, tuple([x.current for x in inputs]), params, output))
        result = cls(output)
        if dtype == INDEX_DTYPE:
            chosen = [x for position, x in enumerate(inputs) if position not in op.indices and x.dtype == INDEX_DTYPE]
            result.sources = frozenset[Value]().union(*[x.sources for x in chosen])
            known = [x.limits for x in chosen if x.limits is not None]
            if known:
                result.limits = (min(least for least, _ in known), max(greatest for _, greatest in known))
            if not chosen:  # argmax: a position within an input
                rows, cols = inputs[0].shape
                extent = {None: rows * cols, 0: rows, 1: cols}[params.get("axis")]
                result.limits = (0, extent - 1)
        return result

    def check_indices(self, op: Op, bound: int) -> None:
        """Note that the inputs which these indices come from must be below a bound: it is checked at each call."""
        for source in self.sources:
            self.recorder.require(source, op, bound)
        known = self.limits is not None and 0 <= self.limits[0] <= self.limits[1] < bound
        if not known and (self.limits is not None or not self.sources):
            raise CaptureError(f"{op.name}: nothing bounds these indices below {bound} before they are computed")

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> SymbolicMatrix:
        """A constant."""
        value = cls.recorder.constant(Constant(memoryview(buffer).tobytes()), (rows, cols), dtype)
        return cls(value, made=True, sources=frozenset({value}) if dtype == INDEX_DTYPE else frozenset())

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> SymbolicMatrix:
        """A constant."""
        return cls(cls.recorder.constant(Constant(float(value)), (rows, cols), dtype), made=True)

    @classmethod
    def from_feed(cls, draw: Callable[[int, int], HostBuffer], rows: int, cols: int, dtype: str) -> SymbolicMatrix:
        """An input that is drawn anew in each step."""
        return cls(cls.recorder.feed(draw, (rows, cols), dtype))

    def reshape(self, rows: int, cols: int) -> Any:
        """One instruction: how a decomposition that returns its input gets a result of its own."""
        return self.record(TABLE["reshape"], (self,), {"rows": rows, "cols": cols})

    def to_host(self) -> HostBuffer:
        """Raises CaptureError: there are no numbers yet."""
        self.recorder.check_open()
        self.recorder.refused = CaptureError(READ)
        raise self.recorder.refused

    def assign(self, source: Any) -> None:
        """From here on this place holds what the source does."""
        self.recorder.check_open()
        self.current, self.sources, self.limits = source.current, source.sources, source.limits

    @classmethod
    def synchronize(cls) -> None:
        """Nothing to wait for."""

    @classmethod
    def stray(cls, op: Op) -> PycrogradError | None:
        """Symbols mix with no others: these were kept from a trace that is over."""
        return CaptureError(f"{op.name}: {KEPT}")


def symbols(recorder: Recorder, like: type[Matrix]) -> type[SymbolicMatrix]:
    """A class of symbolic matrices for one trace, which looks like the backend that the step is traced for."""
    kind: Any = type("Traced", (SymbolicMatrix,), {
        "__slots__": (),
        "backend": like.backend,
        "device": like.device,
        "capabilities": like.capabilities,
        "recorder": recorder,
    })  # fmt: skip
    kind.__abstractmethods__ = frozenset()  # the recording table stands in for the kernels
    kind.kernels = _Recording(kind)
    return kind


class ShapeMatrix(Matrix):
    """What `inspect` builds a model of: a shape where a backend would hold numbers. A trace lifts it as a state."""

    __slots__ = ()

    backend = device = "shapes"
    capabilities = frozenset({"float64"})

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> ShapeMatrix:
        """The shape of a host buffer."""
        return cls((rows, cols), dtype)

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> ShapeMatrix:
        """A shape."""
        return cls((rows, cols), dtype)

    def to_host(self) -> HostBuffer:
        """Raises CaptureError: there are no numbers."""
        raise CaptureError("a model of shapes holds no numbers")


ShapeMatrix.__abstractmethods__ = frozenset()  # nothing is ever computed on it


def placeholder(shape: Shape, dtype: str) -> Matrix:
    """A matrix that holds no numbers, to trace with."""
    kind: Any = ShapeMatrix
    return kind(shape, dtype)


class Forgotten(Matrix):
    """In place of a value that a captured step computed and did not keep. Any use raises CaptureError."""

    __slots__ = ("reason",)

    def __init__(self, shape: Shape, dtype: str, reason: str) -> None:
        super().__init__(shape, dtype)
        self.reason = reason

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> Any:
        """Raises CaptureError: a number is to meet what was forgotten."""
        raise CaptureError(NOT_KEPT)

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Any:
        """Raises CaptureError, as `full`."""
        raise CaptureError(NOT_KEPT)

    def to_host(self) -> HostBuffer:
        """Raises CaptureError."""
        raise CaptureError(self.reason)

    @classmethod
    def stray(cls, op: Op) -> PycrogradError | None:
        """Raises CaptureError in any op."""
        return CaptureError(f"{op.name}: {NOT_KEPT}")


class _Refusing(KernelTable):
    def __missing__(self, op: Op) -> Kernel:
        def kernel(*inputs: Any, **params: Any) -> Any:
            raise CaptureError(f"{op.name}: {inputs[0].reason}")

        self[op] = kernel
        return kernel


Forgotten.__abstractmethods__ = frozenset()
Forgotten.kernels = _Refusing(Forgotten)  # type: ignore[type-abstract]


def forgotten(shape: Shape, dtype: str, reason: str) -> Matrix:
    """A matrix whose use raises CaptureError, for a reason."""
    kind: Any = Forgotten
    return kind(shape, dtype, reason)
