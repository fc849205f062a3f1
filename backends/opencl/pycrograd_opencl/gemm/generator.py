"""Kernels of products: for one shape, with all extents constants, or for every shape."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from .choice import choose, for_every_shape
from .product import Launch, Product

if TYPE_CHECKING:
    from pycrograd_opencl.devices import Device

    from .choice import Parameters


def generate(product: Product, device: Device, choice: Parameters | None = None) -> Launch:
    """The kernel of a product on a device, with these parameters or those of `choose`."""
    return (choice or choose(product, device)).launch(product)


@lru_cache(maxsize=4096)
def eager_product(
    rows: int, cols: int, inner: int, transpose_a: bool, transpose_b: bool, dtype: str, device: Device
) -> Launch:
    """The kernel `c = a @ b` for any extents: arguments rows, cols and inner as 32-bit integers, then a, b and c.

    There are few sources (a handful for each pair of transposes and each dtype), so that a new shape builds nothing.
    """
    product = Product(rows, cols, inner, transpose_a, transpose_b, dtype)
    launch = for_every_shape(product, device).launch(product, fixed=False)
    return replace(launch, source=_shared(launch.source))


@lru_cache(maxsize=256)
def _shared(source: str) -> str:
    """One object for equal sources, whose hash is then known."""
    return source
