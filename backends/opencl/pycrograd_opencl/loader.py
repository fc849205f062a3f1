"""The OpenCL loader that pyopencl is linked with: its file and, if it tells, its name and version.

`python -m pycrograd_opencl.loader` says so, in a process of its own.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

NAME, VERSION = 3, 2  # what ocl-icd's clGetICDLoaderInfoOCLICD is asked for


def loader() -> str:
    """The loader in this process, once pyopencl is imported. It reads its environment, if nothing made it before."""
    import pyopencl as cl

    file = _file()
    if file is None:
        return f"that of pyopencl {cl.VERSION_TEXT}"
    told = " ".join(text for text in map(_asker(file), (NAME, VERSION)) if text)
    return f"{file}, {told or 'which does not tell its version'}, of pyopencl {cl.VERSION_TEXT}"


def _file() -> str | None:
    """The library's file, where the system tells which are loaded."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text("utf-8", "replace").splitlines() if maps.exists() else []
    return next((line[line.index("/") :] for line in lines if "/libOpenCL" in line), None)


def _asker(file: str) -> Callable[[int], str]:
    """What asks the loader for its name or version: ocl-icd answers, others know no such question."""
    library = ctypes.CDLL(file)
    library.clGetExtensionFunctionAddress.restype = ctypes.c_void_p
    address = library.clGetExtensionFunctionAddress(b"clGetICDLoaderInfoOCLICD")
    if not address:
        return lambda key: ""
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)(address)

    def ask(key: int) -> str:
        text = ctypes.create_string_buffer(100)
        return "" if function(key, len(text), text, None) else text.value.decode(errors="replace")

    return ask


if __name__ == "__main__":
    print(loader())  # noqa: T201
