"""Compiled programs on disk, by everything that decides what a compiler makes of a source.

An entry is a checksum and the binary behind it. One that does not match its checksum, or that the driver refuses, is
replaced.

A driver that keeps what it compiles needs no such files. Its own cache is turned off by its own means: PoCL's by
POCL_KERNEL_CACHE=0, NVIDIA's by CUDA_CACHE_DISABLE=1.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import storage

if TYPE_CHECKING:
    from .devices import Device

_log = logging.getLogger(__name__)
_DIGEST = hashlib.sha256().digest_size


class BinaryCache:
    """The compiled programs of one device. Where they cannot be written it keeps none, and says so once."""

    def __init__(self, device: Device, version: str, keeps: bool = True) -> None:
        self._keeps = keeps
        self._owner = (version, device.platform, device.version, device.name, device.vendor, device.driver)

    @property
    def keeps(self) -> bool:
        """Whether there is a place for entries."""
        return self._keeps and storage.folder() is not None

    def name(self, source: str, options: Sequence[str]) -> str:
        """The file of an entry."""
        key = hashlib.sha256("\0".join((*self._owner, *options, "", source)).encode())
        return f"{key.hexdigest()}.bin"

    def get(self, source: str, options: Sequence[str]) -> bytes | None:
        """The binary, or None if there is no good one."""
        entry = storage.read(self.name(source, options)) if self.keeps else None
        if entry is None:
            return None
        digest, binary = entry[:_DIGEST], entry[_DIGEST:]
        return binary if binary and hashlib.sha256(binary).digest() == digest else None

    def put(self, source: str, options: Sequence[str], binary: bytes) -> None:
        """Keep a binary, in place of what was there."""
        if not self.keeps:
            return
        error = storage.write(self.name(source, options), hashlib.sha256(binary).digest() + binary)
        if error is not None:
            self._keeps = False
            _log.warning("compiled OpenCL programs are not kept, so each run compiles its own: %s", error)
