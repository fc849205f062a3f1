"""Compiled programs on disk, by everything that decides what a compiler makes of a source.

An entry is a checksum and the binary behind it. It is written to a file of its own and then renamed, so two processes
on one device never see half of it; an entry that does not match its checksum, or that the driver refuses, is replaced.

A driver that keeps what it compiles needs no such folder. Its own cache is turned off by its own means: PoCL's by
POCL_KERNEL_CACHE=0, NVIDIA's by CUDA_CACHE_DISABLE=1.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from .devices import Device

FOLDER = "PYCROGRAD_OPENCL_CACHE"  # a folder, or `off`
_log = logging.getLogger(__name__)
_DIGEST = hashlib.sha256().digest_size


def cache_folder() -> Path | None:
    """Where this process keeps compiled programs; None for nowhere."""
    chosen = os.environ.get(FOLDER, "")
    if chosen == "off":
        return None
    return Path(chosen) if chosen else user_cache_path("pycrograd") / "opencl"


class BinaryCache:
    """The compiled programs of one device. Without a folder that can be written it keeps nothing, and says so once."""

    def __init__(self, device: Device, version: str, folder: Path | None) -> None:
        self._folder = folder
        self._owner = (version, device.platform, device.version, device.name, device.vendor, device.driver)

    def path(self, source: str, options: Sequence[str]) -> Path | None:
        """The file of an entry."""
        if self._folder is None:
            return None
        key = hashlib.sha256("\0".join((*self._owner, *options, "", source)).encode())
        return self._folder / f"{key.hexdigest()}.bin"

    def get(self, source: str, options: Sequence[str]) -> bytes | None:
        """The binary, or None if there is no good one."""
        path = self.path(source, options)
        if path is None:
            return None
        try:
            entry = path.read_bytes()
        except OSError:  # not there, or not for us to read: the program is built
            return None
        digest, binary = entry[:_DIGEST], entry[_DIGEST:]
        return binary if binary and hashlib.sha256(binary).digest() == digest else None

    def put(self, source: str, options: Sequence[str], binary: bytes) -> None:
        """Keep a binary, in place of what was there."""
        path = self.path(source, options)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(hashlib.sha256(binary).digest() + binary)
            Path(file.name).replace(path)
        except OSError as error:
            self._folder = None
            _log.warning("compiled OpenCL programs are not kept, so each run compiles its own: %s", error)
