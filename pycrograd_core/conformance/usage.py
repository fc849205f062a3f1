"""How much memory this process uses, by whoever can tell."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


class _Information(ctypes.Structure):
    """What glibc tells of its allocator."""

    _fields_ = [(name, ctypes.c_size_t) for name in _FIELDS]


def used() -> dict[str, int]:
    """What the system has given this process, and what the C library and Python have given away of it.

    The first grows late, since there is always some to spare; the others, where they are known, grow at once.
    """
    found = {"the process, in bytes": resident(), "malloc, in bytes": allocated(), "Python's objects": objects()}
    return {name: number for name, number in found.items() if number is not None}


def resident() -> int | None:
    """The bytes of memory that this process holds on Linux, elsewhere the most that it has held; None on Windows."""
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def allocated() -> int | None:
    """The bytes that glibc has given away; None where the C library is another one, or older than 2.33."""
    inform = _glibc()
    if inform is None:
        return None
    found = inform()
    return int(found.uordblks + found.hblkhd)


@cache
def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    inform = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if inform is not None:
        inform.restype = _Information
    return inform


def objects() -> int | None:
    """The blocks of memory that Python has given away, an object each or a part of one."""
    return sys.getallocatedblocks() or None
