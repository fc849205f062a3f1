"""Every variant of the generator at small and awkward sizes, for checks that look at each access to memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product as combinations

from .choice import Parameters
from .panels import Panels
from .product import Launch, Product
from .tiles import Tiles

SHAPES = ((1, 1, 1), (13, 19, 7), (33, 31, 17), (16, 32, 16))  # rows, cols, inner
PARAMETERS: tuple[Parameters, ...] = (
    Panels(6, 2, 8, block_rows=12, block_cols=32, block_inner=16),
    Panels(4, 3, 4, block_rows=8, block_cols=24, block_inner=7, packed=True, prefetched=True),
    Panels(3, 1, 8, block_rows=9, block_cols=16, block_inner=64, swapped=True),
    Panels(2, 2, 16, block_rows=4, block_cols=32, block_inner=9, swapped=True, packed=True),
    Panels(1, 1, 1, block_rows=5, block_cols=3, block_inner=4),
    Tiles(4, 4, item_rows=4, item_cols=4, depth=8, slices=1, buffers=2),
    Tiles(2, 4, item_rows=8, item_cols=8, depth=4, slices=2, buffers=1),
    Tiles(4, 2, item_rows=2, item_cols=1, depth=8, slices=4, buffers=2),
)
# a bias and an activation into one output, and a sum into another
EPILOGUE = (
    ("__global real* restrict c", "__global const real* restrict bias", "__global real* restrict y"),
    "const real z = value + bias[col]; y[row * COLS + col] = z > 0 ? z : 0; c[row * COLS + col] -= value / 4;",
)


@dataclass(frozen=True)
class Variant:
    """One kernel and its extents; arguments a, b, c (which is added to), bias (a row) and y."""

    product: Product
    parameters: Parameters
    fixed: bool

    @property
    def launch(self) -> Launch:
        """The kernel. Where the extents are not fixed, they are its first arguments."""
        return self.parameters.launch(self.product, self.fixed)


def variants(dtype: str = "float32", of: Iterable[Parameters] = PARAMETERS) -> Iterator[Variant]:
    """All parameters × transposes × shapes: one kernel for all shapes, and one with its extents fixed."""
    names, store = EPILOGUE
    for parameters, a, b in combinations(of, (False, True), (False, True)):
        shapes = [Product(*shape, a, b, dtype, names, store) for shape in SHAPES]
        yield from (Variant(product, parameters, fixed=False) for product in shapes)
        yield Variant(shapes[1], parameters, fixed=True)
