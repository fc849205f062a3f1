"""Which parameters suit a product on a device: tuned ones, or the shipped table's, cut to size.

The table goes from vendor over architecture to device, each with what differs from the one before. Within it, products
are told apart by their kind: what limits them is not the same.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .panels import Panels
from .product import Product
from .tiles import Tiles

if TYPE_CHECKING:
    from pycrograd_opencl.devices import Device

Parameters = Panels | Tiles
STYLES: dict[str, type[Panels] | type[Tiles]] = {"panels": Panels, "tiles": Tiles}
FEW = 64  # rows, columns or inner extent of a product that reads or writes memory more than it computes
LITTLE = 1 << 17  # elements of operands and result that stay in a cache


def kind(product: Product) -> str:
    """What limits a product. Operands that are turned, b for few rows and a for many, are read in another order."""
    if product.elements <= LITTLE:
        return "little"
    if product.inner <= FEW:
        return "update"
    if product.rows <= FEW:
        return "few_rows_turned" if product.transpose_b else "few_rows"
    if product.cols <= FEW:
        return "few_cols"
    return "large_turned" if product.transpose_a else "large"


@lru_cache(maxsize=4096)
def choose(product: Product, device: Device) -> Parameters:
    """The parameters of a product on a device: those that `pycrograd tune` found for its shape, or of the table."""
    from pycrograd_opencl.tuning.store import tuned

    found = tuned(device).get(product.shape)
    return found if found is not None else fitted(default(kind(product), product.dtype, device), product, device)


def default(kind: str, dtype: str, device: Device) -> Parameters:
    """The table's parameters for a kind of product, before they are cut to size."""
    settings = dict(_settings(device)[kind])
    made = STYLES[settings.pop("style")](**settings)
    return of_width(made, dtype)


def of_width(parameters: Parameters, dtype: str) -> Parameters:
    """The same vectors in bytes: the table is for float32."""
    if isinstance(parameters, Panels) and dtype == "float64" and parameters.lanes > 1:
        return replace(parameters, lanes=parameters.lanes // 2, block_cols=parameters.block_cols // 2)
    return parameters


def fitted(parameters: Parameters, product: Product, device: Device) -> Parameters:
    """The parameters cut to the product's extents and to what the device has."""
    local = local_memory(device)
    if isinstance(parameters, Panels):
        return parameters.fitted(product, device.units, local)
    return parameters.fitted(product, device.units, local, device.largest_group)


def local_memory(device: Device) -> int:
    """Bytes of local memory. Emulated it is no faster than other memory, but what it holds lies together."""
    return device.local_memory or int(device.handle.local_mem_size)


TYPICAL = {  # products of each kind; their `inner` is longer than a block of it, as that of others may be
    "little": Product(32, 64, 512),
    "update": Product(2048, 2048, 128),
    "few_rows": Product(32, 4096, 4096),
    "few_rows_turned": Product(32, 4096, 4096, transpose_b=True),
    "few_cols": Product(4096, 32, 4096),
    "large": Product(2048, 2048, 2048),
    "large_turned": Product(2048, 2048, 2048, transpose_a=True),
}


def for_every_shape(product: Product, device: Device) -> Parameters:
    """Parameters for a kernel that many shapes share: tuned ones for this very shape, or the table's for its kind."""
    from pycrograd_opencl.tuning.store import tuned

    found = tuned(device).get(product.shape)
    return found if found is not None else _typical(kind(product), product.dtype, device)


@lru_cache(maxsize=256)
def _typical(kind: str, dtype: str, device: Device) -> Parameters:
    return fitted(default(kind, dtype, device), replace(TYPICAL[kind], dtype=dtype), device)


@cache
def _settings(device: Device) -> dict[str, dict[str, Any]]:
    """The table's entries for a device: by kind of product, from the general to the particular."""
    table = tomllib.loads(files(__package__).joinpath("defaults.toml").read_text())
    found: dict[str, dict[str, Any]] = {}
    for entry in table["entry"]:
        if all(
            re.search(entry[field], _described(device)[field], re.IGNORECASE) for field in _FIELDS if field in entry
        ):
            for name in entry.get("kinds", {}):
                found[name] = entry["kinds"][name]
    return found


_FIELDS = ("kind", "vendor", "architecture", "device")


def _described(device: Device) -> dict[str, str]:
    """What the table's patterns are held against."""
    return {
        "kind": device.kind,
        "vendor": f"{device.vendor} {device.platform}",
        "architecture": f"{device.name}, {device.lanes} lanes",
        "device": device.name,
    }
