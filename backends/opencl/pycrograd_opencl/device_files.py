"""The GPUs that the kernel knows of: whether their files may be opened, and which package has their runtime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pycrograd_core.plugins import Finding

from . import build_logs

DEV, DRM = Path("/dev"), Path("/sys/class/drm")
PATTERNS = ("kfd", "dri/renderD*", "nvidia[0-9]*", "nvidiactl", "nvidia-uvm", "mali*")
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}  # of PCI
PACKAGES = {
    "NVIDIA": "apt install nvidia-opencl-icd; in a container, start it with --gpus all and"
    " NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    "AMD": "install ROCm's runtime (apt install rocm-opencl-runtime or rocm-opencl-icd)",
    "Intel": "apt install intel-opencl-icd",
}


def device_files() -> Iterator[Finding]:
    """The files of devices that this user may not open, and those that all may."""
    files = [path for pattern in PATTERNS for path in sorted(DEV.glob(pattern))]
    closed = [str(path) for path in files if not os.access(path, os.R_OK | os.W_OK)]
    for path in closed:
        said = f"{path}: permission denied"
        yield Finding("device file", ok=False, detail=said, mend=build_logs.explain(said) or f"sudo chmod a+rw {path}")
    opened = [str(path) for path in files if str(path) not in closed]
    if opened:
        yield Finding("device files", ok=True, detail=f"{', '.join(opened)} may be opened")


def gpus_without_runtime(vendors: Sequence[str]) -> Iterator[Finding]:
    """The GPUs of this machine that none of the listed devices, of these vendors, can be."""
    listed = " ".join(vendors).casefold().replace("advanced micro devices", "amd")
    for vendor in sorted({VENDORS.get(identity, "") for identity in _identities()} - {""}):
        if vendor.casefold() not in listed:
            detail = f"{vendor} has one in this machine, which no platform lists"
            yield Finding("GPU", ok=False, detail=detail, mend=PACKAGES[vendor])


def _identities() -> Iterator[str]:
    for file in sorted(DRM.glob("renderD*/device/vendor")):
        try:
            yield file.read_text("ascii").strip()
        except OSError:  # gone since it was listed
            continue
