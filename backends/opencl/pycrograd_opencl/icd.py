"""The runtimes that the OpenCL loader is told of: those of the system, and those that came as wheels.

A loader reads one folder of `.icd` files, each of which holds the path of a runtime's library. Intel's CPU runtime is
on PyPI, and its libraries find each other wherever they are installed; but the `.icd` file beside them holds the path
of the machine that built the wheel, and no loader looks there. So the loader is shown a folder that holds what the
system's files hold and these libraries too, while it reads its environment: once, when platforms are first listed.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

_log = logging.getLogger(__name__)
SYSTEM = Path("/etc/OpenCL/vendors")
VENDORS_VARIABLE = "OCL_ICD_VENDORS"  # replaces the folder, for both loaders that there are
PATH_VARIABLE = "OPENCL_VENDOR_PATH"  # the same, for one of them
WHEELS = {"intel-opencl-rt": "libintelocl.so"}  # distribution -> its library


def runtimes_of_wheels() -> list[Path]:
    """The libraries of the CPU runtimes that are installed as wheels."""
    found = []
    for distribution, library in WHEELS.items():
        try:
            files = metadata.files(distribution) or []
        except metadata.PackageNotFoundError:
            continue
        # a link is not followed: the libraries that this one needs lie beside it, and perhaps not where it points
        found += [Path(os.path.normpath(file.locate())) for file in files if file.name == library]
    return [library for library in found if library.exists()]


def icd_files() -> list[Path]:
    """The system's `.icd` files."""
    system, *prefixes = folders()
    files = _icds(system)
    for folder in prefixes:  # where those of wheels lie too, with the paths of another machine
        files += [
            file for file in _icds(folder) if (name := Path(named_library(file))).exists() or not name.is_absolute()
        ]
    return files


def folders() -> list[Path]:
    """Where the system keeps `.icd` files, and then where an installation of conda does."""
    named = os.environ.get(PATH_VARIABLE)
    return [Path(named)] if named else [SYSTEM, Path(sys.prefix) / "etc/OpenCL/vendors"]


def _icds(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.icd"))


def named_library(file: Path) -> str:
    """What an `.icd` file holds: the name or the path of a library."""
    try:
        lines = file.read_text("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[0].strip() if lines and "\0" not in lines[0] else ""


@contextmanager
def with_runtimes_of_wheels() -> Iterator[None]:
    """Inside the block, a loader that first reads its environment finds the wheels' runtimes beside the system's.

    A user's own OCL_ICD_VENDORS is respected: then the loader finds what that names, and no more.
    """
    runtimes = runtimes_of_wheels()
    if not runtimes or os.environ.get(VENDORS_VARIABLE):
        yield
        return
    try:
        beside = tempfile.TemporaryDirectory(prefix="pycrograd-opencl-")
    except OSError as error:
        _log.warning("OpenCL runtimes that came as wheels are left out, for want of a temporary folder: %s", error)
        yield
        return
    with beside as name:
        folder = Path(name)
        libraries = dict.fromkeys([*filter(None, map(named_library, icd_files())), *map(str, runtimes)])
        for number, library in enumerate(libraries):
            (folder / f"{number:03}.icd").write_text(f"{library}\n", "utf-8")
        os.environ[VENDORS_VARIABLE] = name
        try:
            yield
        finally:
            del os.environ[VENDORS_VARIABLE]


def missing_runtimes() -> list[Path]:
    """The wheels' runtimes that are not in this process, though the platforms are listed and no user hid them."""
    return [] if os.environ.get(VENDORS_VARIABLE) else [path for path in runtimes_of_wheels() if not _is_loaded(path)]


def _is_loaded(library: Path) -> bool:
    try:
        ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True
