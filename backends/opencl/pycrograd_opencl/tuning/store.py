"""What tuning found, on disk: one file for each device, driver and version of this backend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeVar

from pycrograd_opencl import storage
from pycrograd_opencl.compiled.settings import Settings
from pycrograd_opencl.gemm.choice import STYLES, Parameters, choose
from pycrograd_opencl.gemm.generator import eager_product

if TYPE_CHECKING:
    from pycrograd_core.capture.program import Program
    from pycrograd_opencl.devices import Device

LANES = (2, 4, 8, 16)  # of vectors in OpenCL C
REGISTERS = 32  # vectors that any processor has room for

T = TypeVar("T")


@cache
def tuned(device: Device) -> Mapping[str, Parameters]:
    """The parameters that were found for a device, by `Product.shape`. What cannot be understood is not among them."""
    return _understood(_entries(device, "products"), _parameters)


def tuned_step(program: Program, device: Device) -> Settings | None:
    """The settings that were found for the step that a program, after the passes, is or repeats; None if none were."""
    found = _steps(device)
    if not found:
        return None
    from .programs import key  # of no use to eager mode, which asks for products alone

    return found.get(key(program))


def keep(device: Device, found: Mapping[str, Parameters]) -> bool:
    """Add to what was found for a device. False if there is no folder that can be written."""
    return _add(device, "products", {shape: _entry(parameters) for shape, parameters in found.items()})


def keep_step(device: Device, program: Program, settings: Settings) -> bool:
    """The same for the settings of a program's step."""
    from .programs import description, key

    return _add(device, "steps", {key(program): {**description(program), "settings": asdict(settings)}})


def forget() -> None:
    """Read again what is on disk."""
    for remembered in (tuned, _steps, choose, eager_product):
        remembered.cache_clear()


@cache
def _steps(device: Device) -> Mapping[str, Settings]:
    return _understood(_entries(device, "steps"), partial(_settings, device))


def _add(device: Device, section: str, entries: Mapping[str, Any]) -> bool:
    sections = {name: _entries(device, name) for name in ("products", "steps")}
    sections[section] |= entries
    described = {"device": device.label, "version": version("pycrograd-opencl"), **sections}
    data = json.dumps(described, indent=1, ensure_ascii=False).encode()
    storage.write(_name(device), data)
    forget()
    return storage.read(_name(device)) == data


def _entries(device: Device, section: str) -> dict[str, Any]:
    """A part of the file as it stands there. One that is damaged, or from before there was such a part, holds none."""
    try:
        return dict(json.loads(storage.read(_name(device)) or b"{}")[section])
    except (ValueError, KeyError, TypeError):
        return {}


def _understood(entries: Mapping[str, Any], made: Callable[[Any], T]) -> dict[str, T]:
    """What entries say, without those that are damaged: tuning replaces them."""
    found = {}
    for name, entry in entries.items():
        try:
            found[name] = made(entry)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _name(device: Device) -> str:
    """The file's name, from all that the parameters hang on."""
    parts = (device.platform, device.version, device.name, device.vendor, device.driver, version("pycrograd-opencl"))
    return f"tuned/{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}.json"


def _entry(parameters: Parameters) -> dict[str, object]:
    style = next(name for name, made in STYLES.items() if isinstance(parameters, made))
    return {"style": style, **asdict(parameters)}


def _parameters(entry: Mapping[str, Any]) -> Parameters:
    settings = dict(entry)
    parameters = STYLES[str(settings.pop("style"))](**settings)
    if not parameters.valid():
        raise ValueError(f"no such blocks: {parameters}")
    return parameters


def _settings(device: Device, entry: Mapping[str, Any]) -> Settings:
    settings = Settings(**entry["settings"])
    extents = (settings.lanes, settings.registers, settings.tile, settings.group, settings.items)
    whole = all(isinstance(extent, int) and extent >= 1 for extent in extents) and settings.registers <= REGISTERS
    limits = settings.large >= 0 and settings.busy >= 0 and settings.whole in (True, False, None)
    if device.is_cpu:
        fits = settings.lanes in LANES
    else:
        fits = settings.lanes == 1 and max(settings.group, settings.items) <= device.largest_group
    if not (whole and limits and fits):
        raise ValueError(f"no such settings: {settings}")
    return settings
