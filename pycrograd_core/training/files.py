"""Files that are either the old one or the new one, whole, whatever happens in between; and folders of one run each."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pycrograd_core.errors import CheckpointError

PARTIAL = ".{}.partial"  # what a file is called while it is written


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write instead; then flush that to the disk, and rename it to `path`.

    Raises CheckpointError with the system's reason if something cannot be written. After that, as after an
    interruption, the old file and the folder are as they were.
    """
    partial = path.with_name(PARTIAL.format(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.touch()
            mode = partial.stat().st_mode
            yield partial
            partial.chmod(mode)  # a library that writes a file of its own may give it another
            _flush(partial)
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink()
        if sys.platform != "win32":  # where a folder cannot be opened
            _flush(path.parent)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror or error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by one with this content. Raises CheckpointError as `replacing` does."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed had begun to write."""
    for partial in folder.glob(PARTIAL.format("*")):
        partial.unlink(missing_ok=True)


class FolderLock:
    """Keeps every other run out of a folder, until `release()` or the end of the process, however it ends.

    Raises CheckpointError if a run is in there. Without effect on a system that has no such locks.
    """

    def __init__(self, path: Path) -> None:
        self.release: Callable[[], object] = lambda: None
        if sys.platform == "win32":
            return
        import fcntl

        try:
            folder = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise CheckpointError(f"cannot open the folder {path}: {error.strerror}") from error
        self.release = weakref.finalize(self, os.close, folder)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise CheckpointError(f"another run is using the folder {path}") from None
        except OSError:
            pass  # some network file systems have none


def _flush(path: Path) -> None:
    """Wait until a file, or what was renamed in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
