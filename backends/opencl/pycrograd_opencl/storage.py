"""Small files in the folder of what may be lost: what was found out once, and would be again."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from .cache import cache_folder


def read(name: str) -> bytes | None:
    """What was written under a name, if it is there and can be read."""
    home = cache_folder()
    try:
        return None if home is None else (home / name).read_bytes()
    except OSError:
        return None


def write(name: str, data: bytes) -> None:
    """Write a file whole or, where it cannot be written, not at all: that loses nothing but time."""
    home = cache_folder()
    if home is None:
        return
    path, written = home / name, None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            written = Path(file.name)
            file.write(data)
        written.replace(path)
    except OSError:
        if written is not None:
            with contextlib.suppress(OSError):
                written.unlink()
