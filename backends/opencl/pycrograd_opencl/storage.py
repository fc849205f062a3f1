"""Files in the folder of what may be lost: what was found out once, and would be again.

A file is written beside its place and then renamed, so two processes never see half of one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pycrograd_core.cache import cache_folder


def folder() -> Path | None:
    """Where this process keeps files; None for nowhere."""
    return cache_folder("opencl")


def read(name: str) -> bytes | None:
    """What was written under a name, if it is there and can be read."""
    home = folder()
    try:
        return None if home is None else (home / name).read_bytes()
    except OSError:
        return None


def write(name: str, data: bytes) -> OSError | None:
    """Write a file whole or not at all, which loses nothing but time. Returns what was in the way, if it is not."""
    home = folder()
    if home is None:
        return None
    path = home / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as beside:
            written = Path(beside) / "written"
            written.write_bytes(data)
            written.replace(path)
    except OSError as error:
        return error
    return None
