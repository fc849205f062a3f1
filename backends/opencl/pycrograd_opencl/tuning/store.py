"""What tuning found, on disk: one file for each device, driver and version of this backend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from pycrograd_opencl import storage
from pycrograd_opencl.gemm.choice import STYLES, Parameters, choose
from pycrograd_opencl.gemm.generator import eager_product

if TYPE_CHECKING:
    from pycrograd_opencl.devices import Device


@cache
def tuned(device: Device) -> Mapping[str, Parameters]:
    """The parameters that were found for a device, by `Product.shape`. A file that cannot be understood holds none."""
    data = storage.read(_name(device))
    if data is None:
        return {}
    try:
        entries = json.loads(data)["products"]
        return {shape: _made(entry) for shape, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # damaged: tuning replaces it
        return {}


def keep(device: Device, found: Mapping[str, Parameters]) -> bool:
    """Add to what was found for a device. False if there is no folder that can be written."""
    entries = {shape: _entry(parameters) for shape, parameters in {**tuned(device), **found}.items()}
    described = {"device": device.label, "version": version("pycrograd-opencl"), "products": entries}
    data = json.dumps(described, indent=1, ensure_ascii=False).encode()
    storage.write(_name(device), data)
    for remembered in (tuned, choose, eager_product):
        remembered.cache_clear()
    return storage.read(_name(device)) == data


def _name(device: Device) -> str:
    """The file's name, from all that the parameters hang on."""
    parts = (device.platform, device.version, device.name, device.vendor, device.driver, version("pycrograd-opencl"))
    return f"tuned/{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.json"


def _entry(parameters: Parameters) -> dict[str, object]:
    style = next(name for name, made in STYLES.items() if isinstance(parameters, made))
    return {"style": style, **asdict(parameters)}


def _made(entry: dict[str, object]) -> Parameters:
    settings = dict(entry)
    parameters = STYLES[str(settings.pop("style"))](**settings)  # type: ignore[arg-type]
    if not parameters.valid():
        raise ValueError(f"no such blocks: {parameters}")
    return parameters
