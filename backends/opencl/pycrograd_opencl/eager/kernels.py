"""The eager kernels of one device and dtype, built when the first is launched, and how many work-items each gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from pycrograd_opencl.c_types import WORDS, CType, preamble
from pycrograd_opencl.expressions import ELEMENTWISE

from . import elementwise, layout, reductions, rows

if TYPE_CHECKING:
    from pycrograd_opencl.devices import Device
    from pycrograd_opencl.gemm import Launch
    from pycrograd_opencl.runtime import Runtime

_PIECE = 4096  # elements that a work-item in vectors takes at a time
_GRAIN = 8192  # elements that are worth another work-item on a CPU
_TURNS = 4  # work-items for each unit of a CPU, so that none waits long for another
_GROUP = 256
_PART = 8192  # elements of a sequence that are worth a part of their own on a CPU
_PART_OF_GROUP = 16  # and elsewhere
_MOST_PARTS = 1024
_GROUPS_FOR_UNIT = 16

# Pointers, ints and numbers that a kernel takes, in this order; of the elementwise ones by their expressions.
_ARGUMENTS = {
    "sum_rows": (2, 3, 1), "sum_columns": (2, 3, 1), "max_rows": (2, 3, 1), "max_columns": (2, 3, 1),
    "argmax": (2, 4, 0), "softmax": (2, 4, 0), "log_softmax": (2, 4, 0), "cross_entropy": (3, 2, 0),
    "cross_entropy_gradient": (4, 2, 0), "correct": (3, 2, 0), "copy": (2, 7, 0), "take_rows": (3, 2, 0),
    "add_rows": (3, 2, 0), "one_hot": (2, 2, 1), "fill": (1, 1, 1),
}  # fmt: skip
_INT = np.dtype("i4")
_OF_WORDS = ("fill", "one_hot")


class Kernels:
    """The kernels for one dtype. Its floats compute; words of their size are what moves, of int32 too."""

    def __init__(self, runtime: Runtime, dtype: str) -> None:
        self._runtime = runtime
        self._real = np.dtype(dtype)
        self._word = np.dtype(f"u{self._real.itemsize}")
        self._source = source(runtime.device, dtype)
        self._kernels: dict[str, cl.Kernel] = {}
        self._products: dict[str, cl.Kernel] = {}
        device = runtime.device
        self.units = device.units
        self.local = (1,) if device.is_cpu else (min(_GROUP, device.largest_group),)
        self.piece = _PIECE if device.is_cpu else 1
        self.lanes = lanes(device, dtype)
        self._most = device.units * (_TURNS if device.is_cpu else _GROUPS_FOR_UNIT)

    def groups(self, items: int, work: int) -> tuple[int]:
        """The global size for a number of independent items, with `work` elements in all."""
        width = self.local[0]
        wanted = min(items, work // _GRAIN) if width == 1 else -(-items // width)
        return (max(1, min(wanted, self._most)) * width,)

    def parts(self, independent: int, length: int) -> int:
        """Into how many parts each of some sequences is reduced, so that enough work-items have something to do."""
        if independent == 0:
            return 1
        enough = self.units * 2 if self.local == (1,) else self._most * self.local[0] // 4
        shortest = _PART if self.local == (1,) else _PART_OF_GROUP
        return max(1, min(enough // independent, length // shortest, _MOST_PARTS))

    def launch(self, name: str, size: tuple[int, ...], *arguments: Any) -> None:
        """Issue a kernel: its buffers, ints and numbers are the arguments, in this order."""
        with self._runtime.lock:
            self._issue(self._kernels.get(name) or self._made(name), size, self.local, arguments)

    def multiply(self, product: Launch, *arguments: Any) -> None:
        """Issue a kernel of a product of any extents: rows, columns and inner extent, then three buffers."""
        with self._runtime.lock:
            kernel = self._products.get(product.source)
            if kernel is None:
                kernel = self._products[product.source] = self._runtime.kernel(product.source, product.name)
                kernel.set_arg_types([_INT] * 3 + [None] * 3)
            self._issue(kernel, product.global_size, product.local_size, arguments)

    def _issue(
        self, kernel: cl.Kernel, size: tuple[int, ...], local: tuple[int, ...], arguments: tuple[Any, ...]
    ) -> None:
        try:
            kernel.set_args(*arguments)
            cl.enqueue_nd_range_kernel(self._runtime.queue, kernel, size, local)
        except cl.Error as error:
            self._runtime.memory.exhausted(error)

    def _made(self, name: str) -> cl.Kernel:
        kernel = self._runtime.kernel(self._source, name)
        pointers, ints, numbers = _ARGUMENTS.get(name) or elementwise.arguments(name)
        of_number = self._word if name in _OF_WORDS else self._real
        # numbers of known types are set ten times as fast as those that come as NumPy's scalars
        kernel.set_arg_types([None] * pointers + [_INT] * ints + [of_number] * numbers)
        self._kernels[name] = kernel
        return kernel


def lanes(device: Device, dtype: str) -> int:
    """The length of the vectors that the kernels work in: 1 where the device makes vectors of work-items itself."""
    wanted = device.lanes if dtype == "float32" else device.lanes // 2
    return max(n for n in (1, 2, 4, 8, 16) if n <= max(wanted, 1)) if device.is_cpu else 1


def source(device: Device, dtype: str) -> str:
    """The source of all kernels of a dtype."""
    scalar, vector = CType.of(dtype), CType.of(dtype, lanes(device, dtype))
    head = (
        f"{preamble(scalar)}typedef {scalar} real;\ntypedef {vector} vector;\n"
        f"typedef {WORDS[dtype]} word;\n#define LANES {vector.lanes}\n#define PIECE {_PIECE if device.is_cpu else 1}\n"
    )
    if vector.lanes > 1:
        head += f"#define LOAD vload{vector.lanes}\n#define STORE vstore{vector.lanes}\n"
    else:
        head += "#define LOAD(i, p) ((p)[i])\n#define STORE(v, i, p) ((p)[i] = (v))\n"
    elements = "".join(elementwise.kernel(op, scalar, vector) for op in sorted(ELEMENTWISE))
    return head + elements + reductions.SOURCE + rows.SOURCE + layout.SOURCE
