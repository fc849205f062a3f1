"""What `pycrograd doctor` says of OpenCL: the loader, its runtimes, the variables that matter, and every device."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pycrograd_core.cache import CACHE_VARIABLE
from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import Finding

from . import build_logs, icd, isolated, library, smoke
from .build_logs import CPU_RUNTIME, Trouble
from .device_files import device_files, gpus_without_runtime
from .devices import DEVICE_VARIABLE, choose, devices, forbid, listing
from .storage import folder

VARIABLES = {  # what each decides
    icd.VENDORS_VARIABLE: "where the loader looks for runtimes, and nowhere else",
    icd.PATH_VARIABLE: "the folder that the loader reads in place of the usual one",
    "OCL_ICD_FILENAMES": "runtimes that the loader loads beside those of its folder",
    "OPENCL_LAYERS": "layers that the loader puts before every runtime",
    "LD_LIBRARY_PATH": "where libraries are looked for first",
    "CUDA_VISIBLE_DEVICES": "the GPUs that NVIDIA's runtime lists",
    "NVIDIA_VISIBLE_DEVICES": "the GPUs that a container is given",
    "GPU_DEVICE_ORDINAL": "the GPUs that AMD's runtime lists",
    "ROCR_VISIBLE_DEVICES": "the GPUs that AMD's runtime lists",
    "RUSTICL_ENABLE": "the drivers that Mesa's runtime uses, of which it uses none without it",
    "POCL_DEVICES": "the devices that PoCL lists",
    "POCL_MAX_PTHREAD_COUNT": "how many threads PoCL runs kernels with",
    "CL_CONFIG_CPU_TBB_NUM_WORKERS": "how many threads Intel's runtime runs kernels with",
    DEVICE_VARIABLE: "the device, where none is asked for",
    CACHE_VARIABLE: "where compiled programs and test results are kept",
}


def findings() -> list[Finding]:
    """All there is to say, in the order in which one thing depends on another."""
    found = [_loader(), *_variables(), *_runtimes(), *device_files()]
    return [*found, *_listing(), *_devices(), *_choice(), *_cache()]


def _loader() -> Finding:
    ended = isolated.run("loader")
    if ended.how is None:
        return Finding("loader", ok=True, detail=ended.said)
    mend = build_logs.explain(ended.said) or "pip install --upgrade --force-reinstall pyopencl"
    return Finding("loader", ok=False, detail=f"importing pyopencl {ended.how}: {ended.said}", mend=mend)


def _variables() -> Iterator[Finding]:
    for name, decides in VARIABLES.items():
        value = os.environ.get(name)
        if not value:
            continue
        says = f"{value!r} ({decides})"
        absolute = name in (icd.VENDORS_VARIABLE, icd.PATH_VARIABLE) and value.startswith("/")
        if absolute and not Path(value).exists():
            yield Finding(name, ok=False, detail=f"{says}: there is no such file", mend=f"unset {name}")
        elif name == icd.PATH_VARIABLE and not Path(value).is_dir():
            yield Finding(name, ok=False, detail=f"{says}: that is no folder", mend=f"unset {name}")
        else:
            yield Finding(name, ok=True, detail=says)


# Runtimes ----------------------------------------------------------------------------------------------------------


def _runtimes() -> Iterator[Finding]:
    """Each `.icd` file and each runtime of a wheel: whether its library loads and has a platform."""
    named = os.environ.get(icd.VENDORS_VARIABLE)
    files = _named_files(named) if named else icd.icd_files()
    files += sorted(_pyopencl().glob(".libs/*.icd"))
    wheels = icd.runtimes_of_wheels()
    for file in files:
        yield _runtime(str(file), icd.named_library(file))
    for path in wheels:
        what = f"{path}, which came as a wheel"
        if named and not any(icd.named_library(file) == str(path) for file in files):
            mend = f"unset {icd.VENDORS_VARIABLE}, or add an .icd file to it that holds {path}"
            yield Finding(what, ok=False, detail=f"{icd.VENDORS_VARIABLE} hides it", mend=mend)
        else:
            yield _runtime(what, str(path))
    if named and not files and not Path(named).is_dir():
        if not named.startswith("/") or Path(named).exists():
            yield _runtime(icd.VENDORS_VARIABLE, named)
    elif not files and not wheels:
        where = named or " and ".join(map(str, icd.folders()))
        hiding = next((name for name in (icd.VENDORS_VARIABLE, icd.PATH_VARIABLE) if os.environ.get(name)), None)
        hides = hiding is not None and any(icd.SYSTEM.glob("*.icd"))
        mend = f"unset {hiding}, which hides those of {icd.SYSTEM}" if hides else build_logs.DRIVERS
        yield Finding("runtimes", ok=False, detail=f"no .icd file in {where}", mend=mend)


def _named_files(named: str) -> list[Path]:
    path = Path(named)
    if path.is_dir():
        return sorted(path.glob("*.icd"))
    return [path] if path.suffix == ".icd" and path.exists() else []


def _pyopencl() -> Path:
    """The folder of pyopencl, in whose .libs runtimes that were built for it put their `.icd` files."""
    spec = find_spec("pyopencl")
    return Path(spec.origin).parent if spec and spec.origin else Path(sys.prefix) / "nowhere"


def _runtime(what: str, name: str) -> Finding:
    if not name:
        return Finding(what, ok=False, detail="the file is empty, or cannot be read", mend=f"sudo rm {what}")
    ended = library.loaded(name)
    of = "" if name in what else name
    if ended.how is None:
        return Finding(what, ok=True, detail=f"{of}, {ended.said}" if of else ended.said)
    mend = build_logs.explain(ended.said) or "install again the package that it belongs to, or remove the file"
    return Finding(what, ok=False, detail=f"{of} {ended.how}: {ended.said}".strip(), mend=mend)


# Devices -----------------------------------------------------------------------------------------------------------


def _listing() -> Iterator[Finding]:
    """The listing, in a process of its own before it is tried in this one."""
    ended = isolated.run("devices")
    if ended.how is not None and ended.how != "failed":
        mend = f"leave out the runtime that crashes: {icd.VENDORS_VARIABLE}=FOLDER, with the .icd files of the others"
        forbid(Trouble(f"listing the devices {ended.how}: {ended.said}", mend))
    for trouble in listing().troubles:
        yield Finding("platform", ok=False, detail=trouble.what, mend=trouble.mend or "")
    yield from gpus_without_runtime([f"{device.vendor} {device.platform}" for device in devices() if not device.is_cpu])


def _devices() -> Iterator[Finding]:
    for device in devices():
        trouble = smoke.trouble(device, fresh=True)
        if trouble is None:
            has = [f"{device.units} units", f"float{device.lanes}", f"{device.memory / 2**30:.3g} GiB"]
            has += ["float64"] if device.float64 else []
            has += ["command buffers"] if device.command_buffer else []
            detail = f"{device.label} ({device.kind}, {device.vendor}; {', '.join(has)})"
            yield Finding(f"device {device.index}", ok=True, detail=detail)
        else:
            detail = f"{device.label} {trouble.what}"
            yield Finding(f"device {device.index}", ok=False, detail=detail, mend=trouble.mend or "")


def _choice() -> Iterator[Finding]:
    """The device that is used where none is asked for."""
    if not devices():
        return
    why = f"by {DEVICE_VARIABLE}" if os.environ.get(DEVICE_VARIABLE) else "the best one that passes the smoke test"
    try:
        yield Finding("chosen", ok=True, detail=f"{choose().label}, {why}")
    except BackendError as error:
        mend = f"unset {DEVICE_VARIABLE}, or name another" if os.environ.get(DEVICE_VARIABLE) else CPU_RUNTIME
        yield Finding("chosen", ok=False, detail=str(error), mend=mend, essential=True)


def _cache() -> Iterator[Finding]:
    home = folder()
    if home is None:
        yield Finding("cache", ok=True, detail=f"off, by {CACHE_VARIABLE}")
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        writable = os.access(home, os.W_OK)
    except OSError:
        writable = False
    mend = "" if writable else f"{CACHE_VARIABLE}=FOLDER, one that can be written; without, every process compiles anew"
    yield Finding("cache", ok=writable, detail=f"{home}" if writable else f"{home} cannot be written", mend=mend)
