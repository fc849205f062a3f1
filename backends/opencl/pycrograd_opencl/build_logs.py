"""What drivers say when they fail, and the line that mends it. The texts are those that drivers print."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

CPU_RUNTIME = (
    "install a CPU runtime from wheels: `uv run --extra opencl-cpu …`, or `pip install 'pycrograd-opencl[cpu]'`"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64")
    else "install PoCL (`apt install pocl-opencl-icd`, `conda install -c conda-forge pocl`): no wheel has it for here"
)

DRIVERS = (
    "install the driver of the device (Debian, Ubuntu: `nvidia-opencl-icd`, `intel-opencl-icd`, `rocm-opencl-runtime`"
    f" or `pocl-opencl-icd`), or {CPU_RUNTIME}"
)


@dataclass(frozen=True)
class Trouble:
    """What went wrong, and the line that mends it, if it is known."""

    what: str
    mend: str | None = None

    def __str__(self) -> str:
        return "; ".join([self.what, *([self.mend] if self.mend else [])])


# The first pattern that is found decides: the causes stand before the codes that any of them may end in.
KNOWN: dict[str, str] = {
    r"unknown target CPU|[Uu]nknown CPU|LLVM ERROR: CPU .* not supported": (
        "this PoCL is older than the processor, which its LLVM does not know: install PoCL 3.1 or newer from your"
        f" distribution (`apt install pocl-opencl-icd`) and uninstall pocl-binary-distribution, or {CPU_RUNTIME}"
    ),
    r"API mismatch|[Dd]river/library version mismatch|kernel module has the version": (
        "the NVIDIA driver was updated while its kernel module stayed: reboot, or `sudo rmmod nvidia_uvm nvidia_drm"
        " nvidia_modeset nvidia && sudo modprobe nvidia`; in a container, install the libraries of the host's version"
    ),
    r"(?:/dev/(?:kfd|dri)\S*.*(?:denied|not permitted))|(?:(?:denied|not permitted).*/dev/(?:kfd|dri))": (
        "you may not open the device file: `sudo usermod -aG render,video $USER`, then log in again; in a container,"
        " pass `--device /dev/dri --device /dev/kfd --group-add render`"
    ),
    r"(?:/dev/nvidia\S*.*(?:denied|not permitted))|(?:(?:denied|not permitted).*/dev/nvidia)": (
        "you may not open the device file: `sudo chmod a+rw /dev/nvidia*`, or ask for the group that owns it; in a"
        " container, start it with `--gpus all` and NVIDIA_DRIVER_CAPABILITIES=compute,utility"
    ),
    r"cannot open file '?\S*clc\S*\.bc|[Ff]ailed to (?:find|locate|load) libclc|libclc.*not found": (
        "Mesa's OpenCL lacks its library of built-in functions: `apt install libclc-15 mesa-opencl-icd`, or the"
        " distribution's package libclc, of the version that Mesa was built with"
    ),
    r"Final linking of kernel|unable to find library -l|linker command failed": (
        "PoCL found no linker, or no C library to link with: `apt install gcc libc6-dev`, or your distribution's name"
        " for them"
    ),
    r"cannot find ROCm (?:device library|installation)|rocm-device-lib|ocml\.bc|opencl\.bc": (
        "ROCm lacks its device library: `apt install rocm-device-libs`, or set ROCM_PATH to the installation"
    ),
    r"opencl-c(?:-base)?\.h'? (?:file )?not found|malformed or corrupted AST file|could not find file .*opencl-c": (
        "the driver's compiler lacks its own headers: install again the package that the driver came with, whole"
    ),
    (
        r"libnvidia-(?:ptxjitcompiler|nvvm|compiler)\S* ?.*(?:cannot open|not found)|[Cc]ompiler not available"
        r"|COMPILER_NOT_AVAILABLE"
    ): (
        "the driver came without its compiler: install its compute packages too (NVIDIA: `libnvidia-compute`; in a"
        " container, NVIDIA_DRIVER_CAPABILITIES=compute,utility)"
    ),
    r"lib(?:imf|svml|irng|intlc)\.so\S*: cannot open": (
        "Intel's runtime lacks its compiler's libraries: `pip install intel-cmplr-lib-rt`, which the extra brings along"
    ),
    r"cannot open shared object file|image not found|wrong ELF class|version `\S+' not found|undefined symbol": (
        "a library that the driver needs is missing or of another version: install again the package that names it;"
        " `ldd` on the driver's library lists what it lacks"
    ),
    r"[Nn]o space left on device": (
        "the disk is full, so the driver cannot write what it compiles: free some, or set its cache to another folder"
        " (POCL_CACHE_DIR, CUDA_CACHE_PATH)"
    ),
    r"OUT_OF_HOST_MEMORY|\b-6\b.*host memory|Cannot allocate memory|std::bad_alloc": (
        "the driver says that the host is out of memory: where there is plenty, it could not open its device file"
        " (`sudo usermod -aG render,video $USER`, then log in again) or does not fit its kernel module (reboot)"
    ),
    r"OUT_OF_RESOURCES|MEM_OBJECT_ALLOCATION_FAILURE": (
        "the device ran out of memory or of registers: end what else runs on it, or use a smaller batch"
    ),
    r"Portable Computing Language.*DEVICE_NOT_FOUND": (
        "PoCL finds no device where it cannot write its cache: set POCL_CACHE_DIR to a folder that can be written"
    ),
    r"DEVICE_NOT_FOUND|has no platform|DEVICE_NOT_AVAILABLE": (
        "the driver loads and finds no device: check that its kernel module is there (`lsmod | grep -E"
        " 'nvidia|amdgpu|i915|xe'`) and that you may open /dev/nvidia*, /dev/kfd and /dev/dri/renderD*"
    ),
    r"PLATFORM_NOT_FOUND_KHR|-1001\b": f"no OpenCL driver is installed, or none that loads: {DRIVERS}",
}


def explain(log: str) -> str | None:
    """The line that mends what a build log or a driver's error tells, if it is known."""
    for pattern, mend in KNOWN.items():
        if re.search(pattern, log):
            return mend
    return None


def trouble(what: str, said: str = "") -> Trouble:
    """What went wrong, with what a driver said of it."""
    whole = f"{what}: {said}" if said else what
    return Trouble(whole, explain(whole))
