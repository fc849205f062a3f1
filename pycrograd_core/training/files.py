"""Files that are either the old one or the new one, whole, whatever happens in between."""

from __future__ import annotations

import os
from pathlib import Path

from pycrograd_core.errors import CheckpointError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: write beside it, flush to the disk, rename.

    Raises CheckpointError with the system's reason; the old file and the folder are then as they were.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error
