"""The devices of this machine, of all platforms, in an order that does not change; and the choice of one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pycrograd_core.errors import BackendError

from . import build_logs, forks, smoke
from .build_logs import Trouble
from .icd import missing_runtimes, with_runtimes_of_wheels

if TYPE_CHECKING:
    import pyopencl as cl

DEVICE_VARIABLE = "PYCROGRAD_OPENCL_DEVICE"
RANKING = ("discrete GPU", "integrated GPU", "CPU", "accelerator")


@dataclass(frozen=True)
class Device:
    """A device, with what kernels for it are generated from."""

    index: int  # in the listing of all devices of all platforms
    name: str
    vendor: str
    platform: str  # two platforms of one name are told apart
    driver: str
    version: str
    kind: str  # one of RANKING
    units: int
    lanes: int  # of its native vector of float
    float64: bool
    memory: int  # bytes, as the next
    local_memory: int  # 0 where it is emulated in global memory
    largest_group: int
    command_buffer: bool
    unified: bool
    handle: cl.Device = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        """What is printed and recorded: the name of the device, its platform and its driver."""
        return f"{self.name} · {self.platform} {self.driver}"

    @property
    def is_cpu(self) -> bool:
        """Whether kernels run on the processor that Python runs on."""
        return self.kind == "CPU"


@dataclass(frozen=True)
class Listing:
    """Every device, and why some may be missing."""

    devices: tuple[Device, ...] = ()
    troubles: tuple[Trouble, ...] = ()


def devices() -> tuple[Device, ...]:
    """Every device, usable or not: platforms by name and version, the devices of each in its own order."""
    return listing().devices


_listing: Listing | None = None


def listing() -> Listing:
    """The devices, and the troubles of platforms that could not be asked. Listed once in a process."""
    global _listing
    refused = forks.refusal()
    if refused:
        raise refused
    if _listing is None:
        forks.watch()
        _listing = _listed_now()
    return _listing


def forbid(trouble: Trouble) -> None:
    """List nothing in this process, for a reason: another one that listed the devices crashed."""
    global _listing
    _listing = Listing(troubles=(trouble,))


def _listed_now() -> Listing:
    import pyopencl as cl

    try:
        with with_runtimes_of_wheels():
            found = cl.get_platforms()  # where the loader reads its environment, once for the process
    except cl.Error as error:
        return Listing(troubles=(build_logs.trouble("no platform", str(error)),))
    platforms = sorted(found, key=lambda platform: (platform.name.strip().casefold(), platform.version))
    records: list[Device] = []
    troubles = []
    for platform, title in zip(platforms, _titles([(p.name.strip(), p.version) for p in platforms]), strict=True):
        try:
            handles = platform.get_devices()
            records += [_record(index, handle, title) for index, handle in enumerate(handles, len(records))]
        except cl.Error as error:
            troubles.append(build_logs.trouble(title, str(error)))
        else:
            if not handles:
                troubles.append(build_logs.trouble(title, "DEVICE_NOT_FOUND"))
    return Listing(tuple(records), (*troubles, *(_late(library) for library in missing_runtimes())))


def _late(library: Path) -> Trouble:
    return Trouble(
        f"the runtime {library} is installed and not loaded",
        "if `pycrograd doctor` can load it, something in this process used OpenCL before Pycrograd: turn that round",
    )


def _titles(platforms: Sequence[tuple[str, str]]) -> list[str]:
    """Names of platforms, with the version where it tells two of one name apart, and a number where nothing does."""
    names = Counter(name for name, _ in platforms)
    several = Counter(name for name, _ in set(platforms))
    titles = [
        name if names[name] == 1 or several[name] == 1 else f"{name} ({version.strip()})" for name, version in platforms
    ]
    counts, seen = Counter(titles), Counter[str]()
    numbered = []
    for title in titles:
        seen[title] += 1
        numbered.append(title if counts[title] == 1 else f"{title} #{seen[title]}")
    return numbered


def _record(index: int, handle: cl.Device, platform: str) -> Device:
    """What a driver says of a device."""
    import pyopencl as cl

    extensions = handle.extensions.split()
    unified = bool(handle.host_unified_memory)
    if handle.type & cl.device_type.GPU:
        kind = "integrated GPU" if unified else "discrete GPU"
    else:
        kind = "CPU" if handle.type & cl.device_type.CPU else "accelerator"
    return Device(
        index=index,
        name=handle.name.strip(),
        vendor=handle.vendor.strip(),
        platform=platform,
        driver=handle.driver_version.strip(),
        version=handle.version.strip(),
        kind=kind,
        units=handle.max_compute_units,
        lanes=max(1, handle.native_vector_width_float),
        float64="cl_khr_fp64" in extensions,
        memory=handle.global_mem_size,
        local_memory=handle.local_mem_size if handle.local_mem_type == cl.device_local_mem_type.LOCAL else 0,
        largest_group=handle.max_work_group_size,
        command_buffer="cl_khr_command_buffer" in extensions,
        unified=unified or kind == "CPU",
        handle=handle,
    )


# The choice --------------------------------------------------------------------------------------------------------


def ranked(candidates: Sequence[Device]) -> list[Device]:
    """Devices, the best first: by their kind, then in the order of the listing."""
    return sorted(candidates, key=lambda device: (RANKING.index(device.kind), device.index))


def choose(selector: str | None = None) -> Device:
    """The device that was asked for, here or by the environment, else the best one that passes the smoke test.

    A selector is an index or a part of the device's name, vendor, platform, version or kind, in any case. Raises
    BackendError with the list if there is none or more than one such device, and with the reason if the one that was
    asked for is unusable: no other takes its place.
    """
    asked = selector or os.environ.get(DEVICE_VARIABLE)
    if not asked:
        return _best()
    by = "" if selector else f" (of {DEVICE_VARIABLE})"
    matching = matches(asked, devices())
    if len(matching) != 1:
        how = f"{len(matching)} devices that match" if matching else "no device that matches"
        raise BackendError(f"the backend 'opencl' has {how} {asked!r}{by}{_listed(matching or devices())}")
    trouble = smoke.trouble(matching[0])
    if trouble:
        raise BackendError(f"the device {matching[0].label} was asked for{by}, and {trouble}")
    return matching[0]


def matches(selector: str, candidates: Sequence[Device]) -> list[Device]:
    """The devices that a selector means: by index, else by the whole name or label, else by a part of it."""
    wanted = selector.strip().casefold()
    if wanted.isdecimal() and int(wanted) < len(candidates):
        return [candidates[int(wanted)]]
    whole = [device for device in candidates if wanted in (device.name.casefold(), device.label.casefold())]
    return whole or [device for device in candidates if wanted in _described(device).casefold()]


def _described(device: Device) -> str:
    return f"{device.vendor} {device.label} {device.version} {device.kind}"


def _best() -> Device:
    reasons = []
    for device in ranked(devices()):
        trouble = smoke.trouble(device)
        if trouble is None:
            return device
        reasons.append(f"{device.label} {trouble}")
    raise BackendError(f"no OpenCL device is usable: {_why(reasons)}; `pycrograd doctor` tells more")


def _why(reasons: Sequence[str]) -> str:
    """Why there is no usable device: the troubles of devices, else those of platforms."""
    return "; ".join([*reasons, *map(str, listing().troubles)])


def _listed(candidates: Sequence[Device]) -> str:
    """The devices one may ask for, in a sentence of many lines."""
    if not candidates:
        return f"; there is none: {_why([])}"
    rows = (f"  {device.index}: {device.label} ({device.kind}, {device.vendor})" for device in candidates)
    return "; name one, or give its number:\n" + "\n".join(rows)


if __name__ == "__main__":  # for whoever would know first whether listing them crashes
    listing()
