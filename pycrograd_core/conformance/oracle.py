"""A backend that is right and nothing else: kernels from the table of NumPy formulas, in float64.

Gradient rules run on it as on any other, so what a backend's gradients are compared with is the same rule on exact
kernels; and what trains on it is what training should be.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pycrograd_core.host_kernels import HostKernels
from pycrograd_core.matrix import HostBuffer
from pycrograd_core.op import Op
from pycrograd_core.ops import TABLE

from .reference import REFERENCE


class Oracle(HostKernels):
    """A NumPy array in float64, or of int32 indices. Its kernels are those of `reference`, not the fallback's."""

    __slots__ = ("array",)

    backend = "oracle"
    device = "host"
    capabilities = frozenset({"float64", "host_memory", "deterministic"})

    def __init__(self, array: Any, dtype: str) -> None:
        super().__init__(array.shape, dtype)
        self.array = array

    @classmethod
    def from_host(cls, buffer: HostBuffer, rows: int, cols: int, dtype: str) -> Oracle:
        return cls(np.frombuffer(buffer, dtype).reshape(rows, cols).copy(), dtype)

    def to_host(self) -> HostBuffer:
        return self.array.data

    def assign(self, source: Oracle) -> None:
        self.array[:] = source.array


def _kernel(op: Op) -> Any:
    formula = REFERENCE[op.name]

    def kernel(*given: Any, out: Oracle | None = None, **params: Any) -> Oracle:
        inputs = [x for x in given if isinstance(x, Oracle)]
        dtype = op.dtype_of(inputs, params)
        with np.errstate(all="ignore"):
            values = np.array(formula(*(x.array for x in inputs), *given[len(inputs) :], **params), dtype, order="C")
        return type(inputs[0])(values, dtype)

    kernel.__name__ = op.name
    return kernel


for _op in [op for op in TABLE.values() if op.decomposition is None]:
    setattr(Oracle, _op.name, _kernel(_op))
