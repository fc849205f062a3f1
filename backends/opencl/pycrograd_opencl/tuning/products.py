"""The products of a step: each with given parameters on a device, is it right, and how long does it take?"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from pycrograd_opencl.gemm.choice import Parameters, default, fitted, kind, local_memory
from pycrograd_opencl.gemm.panels import Panels
from pycrograd_opencl.gemm.product import Launch, Product
from pycrograd_opencl.gemm.tiles import Tiles
from pycrograd_opencl.runtime import Runtime

from .timing import least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_opencl.devices import Device

CHECKED = 64  # rows and columns of a large result that are compared
WHOLE = 1 << 27  # multiplications up to which all of them are
REGISTERS = ((6, 2), (4, 3), (5, 2), (3, 4), (4, 2), (8, 1), (12, 1), (14, 1), (8, 2), (8, 3), (12, 2), (14, 2))


@dataclass(frozen=True)
class Built:
    """A kernel with its arguments set, and how it is launched."""

    kernel: Any
    launch: Launch


class ProductTrial:
    """Random operands of a product, on the host and on a device. See `search.Trial`."""

    def __init__(self, product: Product, runtime: Runtime) -> None:
        random_numbers = np.random.default_rng(product.rows * 7919 + product.cols * 31 + product.inner)
        self.product, self.runtime = product, runtime
        self.a = _random(random_numbers, product.rows, product.inner, product.transpose_a, product.dtype)
        self.b = _random(random_numbers, product.inner, product.cols, product.transpose_b, product.dtype)
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        self._operands = [cl.Buffer(runtime.context, flags, hostbuf=host) for host in (self.a, self.b)]
        self._c = runtime.buffer(product.rows * product.cols * self.a.itemsize)
        self._shuffled = random.Random(product.shape)

    @property
    def start(self) -> Parameters:
        """The table's parameters."""
        product, device = self.product, self.runtime.device
        return fitted(default(kind(product), product.dtype, device), product, device)

    def changes(self, parameters: Parameters) -> list[Parameters]:
        """Parameters that differ in one thing, in an order that means nothing."""
        found = [*neighbours(parameters, self.product, self.runtime.device)]
        self._shuffled.shuffle(found)
        return found

    def build(self, parameters: Parameters) -> Built:
        """A kernel for these very extents."""
        return self.built(parameters.launch(self.product))

    def built(self, launch: Launch, fixed: bool = True) -> Built:
        """A kernel; if it is not `fixed`, the extents are arguments. Raises BackendError if it cannot be built."""
        # thousands of losers would only fill the cache
        kernel = self.runtime.kernel(launch.source, launch.name, kept=False)
        extents = (self.product.rows, self.product.cols, self.product.inner)
        kernel.set_args(*([] if fixed else map(np.int32, extents)), *self._operands, self._c)
        return Built(kernel, launch)

    def run(self, built: Built) -> float:
        """Seconds of one launch."""
        start = time.perf_counter()
        cl.enqueue_nd_range_kernel(self.runtime.queue, built.kernel, built.launch.global_size, built.launch.local_size)
        self.runtime.queue.finish()
        return time.perf_counter() - start

    def seconds(self, made: Built, limit: float = float("inf")) -> float:
        """The least seconds of some launches."""
        return least(lambda: self.run(made), limit)

    def right(self, made: Built) -> bool:
        """Whether the kernel's result is that of NumPy in float64, within a few roundings of each sum's terms."""
        p = self.product
        blank = np.full((p.rows, p.cols), np.nan, p.dtype)
        cl.enqueue_copy(self.runtime.queue, self._c, blank)
        self.run(made)
        cl.enqueue_copy(self.runtime.queue, blank, self._c)
        whole = p.rows * p.cols * p.inner <= WHOLE
        rows, cols = (slice(None), slice(None)) if whole else (_spread(p.rows), _spread(p.cols))
        return self._agrees(blank, rows, slice(None)) and (whole or self._agrees(blank, slice(None), cols))

    def passes(self, parameters: Parameters) -> bool:
        """Whether one kernel with these parameters is right for every shape of the grid."""
        launch = parameters.launch(self.product, fixed=False)
        for rows, cols, inner in _grid(parameters):
            shape = replace(self.product, rows=rows, cols=cols, inner=inner)
            sized = replace(parameters.launch(shape, fixed=False), source=launch.source)
            other = ProductTrial(shape, self.runtime)
            if not other.right(other.built(sized, fixed=False)):
                return False
        return True

    def numpy(self) -> float:
        """The least seconds that NumPy takes for it."""
        a = self.a.T if self.product.transpose_a else self.a
        b = self.b.T if self.product.transpose_b else self.b

        def run() -> float:
            start = time.perf_counter()
            np.dot(a, b)
            return time.perf_counter() - start

        return least(run)

    def _agrees(self, result: NDArray[Any], rows: Any, cols: Any) -> bool:
        a = (self.a.T if self.product.transpose_a else self.a)[rows].astype(np.float64)
        b = (self.b.T if self.product.transpose_b else self.b)[:, cols].astype(np.float64)
        error = np.abs(result[rows][:, cols] - a @ b)
        bound = 8 * np.finfo(self.product.dtype).eps * (8 + np.abs(a) @ np.abs(b))
        return bool((error <= bound).all())  # nan is not


def neighbours(parameters: Parameters, product: Product, device: Device) -> Iterator[Parameters]:
    """Parameters that differ in one thing and fit the device and the product."""
    local = local_memory(device)
    changes = _of_panels(parameters) if isinstance(parameters, Panels) else _of_tiles(parameters)
    for change in changes:
        if not change.valid():
            continue
        if isinstance(change, Tiles) and (change.items > device.largest_group or change.items < 16):
            continue
        # kernels for any extents take the more memory, and the grid is for them
        if change.local_memory(product, fixed=False) <= local and fitted(change, product, device) == change:
            yield change


def _of_panels(own: Panels) -> Iterator[Panels]:
    for rows, vectors in REGISTERS:
        yield _whole(replace(own, tile_rows=rows, vectors=vectors))
    for lanes in (own.lanes * 2, own.lanes // 2):
        if 1 <= lanes <= 16:
            yield _whole(replace(own, lanes=lanes))
    for name in ("block_rows", "block_cols", "block_inner"):
        for extent in (getattr(own, name) * 2, getattr(own, name) // 2):
            yield _whole(replace(own, **{name: max(1, extent)}))
    for name in ("packed", "prefetched"):
        yield replace(own, **{name: not getattr(own, name)})
    yield _whole(replace(own, swapped=not own.swapped, block_rows=own.block_cols, block_cols=own.block_rows))
    for unrolled in (1, 2, 4, 8):
        yield replace(own, unrolled=unrolled)


def _whole(own: Panels) -> Panels:
    """Blocks of whole tiles."""
    rows = -(-own.block_rows // own.tile_rows) * own.tile_rows
    return replace(own, block_rows=rows, block_cols=-(-own.block_cols // own.tile_cols) * own.tile_cols)


def _of_tiles(own: Tiles) -> Iterator[Tiles]:
    for field in fields(own):
        if field.name != "buffers":
            for extent in (getattr(own, field.name) * 2, getattr(own, field.name) // 2):
                yield replace(own, **{field.name: max(1, extent)})
    yield replace(own, buffers=3 - own.buffers)
    # the same number of items or sums, of another form
    yield replace(own, group_rows=own.group_rows * 2, group_cols=max(1, own.group_cols // 2))
    yield replace(own, group_rows=max(1, own.group_rows // 2), group_cols=own.group_cols * 2)
    yield replace(own, item_rows=own.item_rows * 2, item_cols=max(1, own.item_cols // 2))
    yield replace(own, item_rows=max(1, own.item_rows // 2), item_cols=own.item_cols * 2)


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
