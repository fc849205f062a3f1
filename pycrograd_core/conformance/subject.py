"""The backend under test, as the tiers see it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from struct import calcsize
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import FORMATS, Matrix
from pycrograd_core.op import INDEX_DTYPE, Op
from pycrograd_core.ops import TABLE
from pycrograd_core.plugins import use_backend
from pycrograd_core.tensor import Tensor

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray


def read(matrix: Matrix, case: str = "") -> NDArray[Any]:
    """A copy of what `to_host` gives, by the buffer protocol alone. Raises ConformanceError if its size is another."""
    buffer = memoryview(matrix.to_host())
    where, (rows, cols) = f"{case}: " if case else "", matrix.shape
    if not buffer.c_contiguous:
        raise ConformanceError(f"{where}to_host() must give a contiguous, row-major buffer: copy a transpose or a part")
    expected = rows * cols * calcsize(FORMATS[matrix.dtype])
    if buffer.nbytes != expected:
        raise ConformanceError(
            f"{where}to_host() of {rows}×{cols} {matrix.dtype} gives {buffer.nbytes} bytes, of format "
            f"{buffer.format!r}, it should be {expected}"
        )
    return np.frombuffer(buffer, matrix.dtype).reshape(rows, cols).copy()


class Subject:
    """A matrix class, and how to get values into it and out of it."""

    def __init__(self, matrix: type[Matrix]) -> None:
        self.matrix = matrix
        self.name = matrix.backend
        self.device = matrix.device
        self.capabilities = matrix.capabilities

    @property
    def dtypes(self) -> tuple[str, ...]:
        """What it computes in."""
        return ("float32", "float64") if "float64" in self.capabilities else ("float32",)

    @property
    def kernels(self) -> list[Op]:
        """The ops that every backend has a kernel for."""
        return [op for op in TABLE.values() if op.decomposition is None]

    @property
    def overrides(self) -> list[Op]:
        """The derived ops that this backend computes by kernels of its own."""
        return [op for op in TABLE.values() if self.matrix.kernels.overrides(op)]

    def use(self) -> AbstractContextManager[type[Matrix]]:
        """Tensors that name no backend are made on this one inside the `with` block."""
        return use_backend(self.matrix)

    def tensor(self, values: Any, dtype: str, requires_grad: bool = False) -> Tensor:
        """A tensor on this backend."""
        with self.use():
            return Tensor(values, requires_grad, dtype=dtype)

    def tensors(self, op: Op, arrays: Sequence[Any], dtype: str, checked: Iterable[int] = ()) -> list[Tensor]:
        """The inputs of an op as tensors, those at the `checked` positions requiring a gradient."""
        wanted = set(checked)
        return [
            self.tensor(x, INDEX_DTYPE if position in op.indices else dtype, position in wanted)
            for position, x in enumerate(arrays)
        ]

    def matrices(self, op: Op, arrays: Sequence[Any], dtype: str) -> list[Matrix]:
        """The inputs of an op as matrices. Arrays of int32 stay so; an array that is there twice is one matrix."""
        kinds = [INDEX_DTYPE if i in op.indices or x.dtype == np.int32 else dtype for i, x in enumerate(arrays)]
        made = {id(x): self.tensor(x, kind).value for x, kind in zip(arrays, kinds, strict=True)}
        return [made[id(x)] for x in arrays]

    def host(self, value: Any, case: str = "") -> NDArray[Any]:
        """The values of a matrix or a tensor. Raises ConformanceError, which names the case, if they cannot be read."""
        return read(value, case) if isinstance(value, Matrix) else value.numpy()

    def takes_out(self, op: Op) -> bool:
        """Whether this backend's kernel of an op has the parameter `out`."""
        kernel = getattr(self.matrix, op.name, None)
        return kernel is not None and "out" in inspect.signature(kernel).parameters
