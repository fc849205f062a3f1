"""One product with given parameters, on a device: is it right, and how long does it take?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from pycrograd_opencl.gemm.choice import Parameters
from pycrograd_opencl.gemm.product import Launch, Product
from pycrograd_opencl.runtime import Runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHECKED = 64  # rows and columns of a large result that are compared
WHOLE = 1 << 27  # multiplications up to which all of them are
TURN = 0.15  # seconds that measurements of one kernel may take
FEWEST = 3  # measurements


class Trial:
    """Random operands of a product, on the host and on a device."""

    def __init__(self, product: Product, runtime: Runtime) -> None:
        random = np.random.default_rng(product.rows * 7919 + product.cols * 31 + product.inner)
        self.product, self.runtime = product, runtime
        self.a = _random(random, product.rows, product.inner, product.transpose_a, product.dtype)
        self.b = _random(random, product.inner, product.cols, product.transpose_b, product.dtype)
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        self._operands = [cl.Buffer(runtime.context, flags, hostbuf=host) for host in (self.a, self.b)]
        self._c = runtime.buffer(product.rows * product.cols * self.a.itemsize)

    def kernel(self, launch: Launch, fixed: bool = True) -> Any:
        """A kernel with its arguments set. Raises BackendError if it cannot be built."""
        # thousands of losers would only fill the cache
        kernel = self.runtime.kernel(launch.source, launch.name, kept=False)
        extents = (self.product.rows, self.product.cols, self.product.inner)
        kernel.set_args(*([] if fixed else map(np.int32, extents)), *self._operands, self._c)
        return kernel

    def run(self, kernel: Any, launch: Launch) -> float:
        """Seconds of one launch."""
        start = time.perf_counter()
        cl.enqueue_nd_range_kernel(self.runtime.queue, kernel, launch.global_size, launch.local_size)
        self.runtime.queue.finish()
        return time.perf_counter() - start

    def seconds(self, kernel: Any, launch: Launch, limit: float = float("inf")) -> float:
        """The least seconds of some launches: of two, if the second takes far longer than `limit`."""
        self.run(kernel, launch)
        best = self.run(kernel, launch)
        if best > 2 * limit:
            return best
        spent, count = best, 1
        while count < FEWEST or spent < TURN:
            taken = self.run(kernel, launch)
            best, spent, count = min(best, taken), spent + taken, count + 1
        return best

    def right(self, launch: Launch, fixed: bool = True) -> bool:
        """Whether the kernel's result is that of NumPy in float64, within a few roundings of each sum's terms."""
        p = self.product
        blank = np.full((p.rows, p.cols), np.nan, p.dtype)
        cl.enqueue_copy(self.runtime.queue, self._c, blank)
        self.run(self.kernel(launch, fixed), launch)
        cl.enqueue_copy(self.runtime.queue, blank, self._c)
        whole = p.rows * p.cols * p.inner <= WHOLE
        rows, cols = (slice(None), slice(None)) if whole else (_spread(p.rows), _spread(p.cols))
        return self._agrees(blank, rows, slice(None)) and (whole or self._agrees(blank, slice(None), cols))

    def numpy(self) -> float:
        """The least seconds that NumPy takes for it."""
        a = self.a.T if self.product.transpose_a else self.a
        b = self.b.T if self.product.transpose_b else self.b
        best, spent, count = float("inf"), 0.0, 0
        while count < FEWEST or spent < TURN:
            start = time.perf_counter()
            np.dot(a, b)
            taken = time.perf_counter() - start
            best, spent, count = min(best, taken), spent + taken, count + 1
        return best

    def _agrees(self, result: NDArray[Any], rows: Any, cols: Any) -> bool:
        a = (self.a.T if self.product.transpose_a else self.a)[rows].astype(np.float64)
        b = (self.b.T if self.product.transpose_b else self.b)[:, cols].astype(np.float64)
        error = np.abs(result[rows][:, cols] - a @ b)
        bound = 8 * np.finfo(self.product.dtype).eps * (8 + np.abs(a) @ np.abs(b))
        return bool((error <= bound).all())  # nan is not


def passes(parameters: Parameters, product: Product, runtime: Runtime) -> bool:
    """Whether a kernel with these parameters is right for every shape of the grid."""
    launch = parameters.launch(product, fixed=False)
    for extents in _grid(parameters):
        shape = replace(product, rows=extents[0], cols=extents[1], inner=extents[2])
        sized = replace(parameters.launch(shape, fixed=False), source=launch.source)
        if not Trial(shape, runtime).right(sized, fixed=False):
            return False
    return True


def _grid(parameters: Parameters) -> Iterator[tuple[int, int, int]]:
    """Rows, columns and inner extents: 1, 2ᵏ ± 1, around 256 and 1152, and no multiples of any tile."""
    around = {1, 2, *(2**k + step for k in range(2, 8) for step in (-1, 1)), 255, 256, 257}
    tile = {parameters.tile_rows * 2 + 1, parameters.tile_cols * 2 - 1}
    for extent in sorted(around | tile):
        yield from ((extent, 37, 19), (23, extent, 33), (29, 41, extent))
    for extent in (1151, 1152, 1153):
        yield from ((extent, 17, 65), (33, extent, 31), (17, 33, extent))
    yield from ((257, 255, 129), (1, 1153, 1151), (1153, 1, 257))


def _random(random: np.random.Generator, rows: int, cols: int, transposed: bool, dtype: str) -> NDArray[Any]:
    shape = (cols, rows) if transposed else (rows, cols)
    made: NDArray[Any] = random.standard_normal(shape, dtype=np.dtype(dtype).type)
    return made


def _spread(extent: int) -> NDArray[Any]:
    """Positions from the first to the last."""
    return np.unique(np.linspace(0, extent - 1, CHECKED).astype(int))
