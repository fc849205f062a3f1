"""A runtime's library, loaded and asked for its platforms in a process of its own.

`python -m pycrograd_opencl.library NAME` is that process. It says how many there are, or exits with 1 and says why not.
"""

from __future__ import annotations

import ctypes
import os
import sys

from . import isolated


def loaded(name: str) -> isolated.Ended:
    """How loading a library ends."""
    return isolated.run("library", name)


def platforms(name: str) -> int:
    """How many platforms a runtime has. Raises OSError if it has none, or cannot be loaded and used."""
    library = ctypes.CDLL(name, mode=os.RTLD_NOW)
    entry = getattr(library, "clIcdGetPlatformIDsKHR", None) or _extension(library)
    count = ctypes.c_uint()
    code = entry(0, None, ctypes.byref(count))
    if code or not count.value:
        raise OSError(f"the library loads and has no platform (error {code})")
    return count.value


def _extension(library: ctypes.CDLL) -> ctypes._CFunctionType:
    """The loader's way in, where it is no symbol of the library."""
    try:
        address = library.clGetExtensionFunctionAddress
    except AttributeError:
        raise OSError("the library is no OpenCL runtime: it has no clGetExtensionFunctionAddress") from None
    address.restype = ctypes.c_void_p
    found = address(b"clIcdGetPlatformIDsKHR")
    if not found:
        raise OSError("the library has no extension cl_khr_icd, so no loader can use it")
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p)(found)


if __name__ == "__main__":
    try:
        found = platforms(sys.argv[1])
    except OSError as error:
        print(error)  # noqa: T201
        sys.exit(1)
    print(f"{found} platform{'s' if found > 1 else ''}")  # noqa: T201
