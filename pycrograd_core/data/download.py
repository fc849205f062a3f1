"""Files that are fetched once, from the first mirror that yields the right bytes, and kept in a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pycrograd_core.cache import user_folder
from pycrograd_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 20.0  # seconds without a byte, after which a mirror counts as dead
_CHUNK = 1 << 16

_log = logging.getLogger(__name__)


def data_folder(name: str) -> Path:
    """Where the files of a data set are kept: $PYCROGRAD_DATA/name, else pycrograd/name among the user's caches."""
    root = os.environ.get("PYCROGRAD_DATA")
    return (Path(root).expanduser() if root else user_folder()) / name


def download(name: str, mirrors: Sequence[str], sha256: str, folder: Path, advice: str) -> Path:
    """Fetch the file `name` into `folder` from the first of `mirrors` (URLs that end in a slash) that has it.

    `sha256` is the digest, in hexadecimal, that the file must have. The file appears in the folder whole or not at
    all. Raises DataError, with each mirror's reason and the `advice`, if every mirror fails.
    """
    import tempfile
    from http.client import HTTPException

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as scratch:
            part = Path(scratch, name)
            reasons = []
            for mirror in mirrors:
                try:
                    _fetch(mirror + name, part, sha256)
                    return part.replace(folder / name)
                except (OSError, HTTPException, DataError) as error:
                    _log.warning("%s%s: %s", mirror, name, error)
                    reasons.append(f"\n  {mirror}{name}: {error}")
    except OSError as error:
        raise DataError(f"{folder}: cannot keep {name} here: {error.strerror or error}. {advice}") from error
    raise DataError(f"{name} could not be downloaded:{''.join(reasons)}\n{advice}")


def _fetch(url: str, target: Path, sha256: str) -> None:
    """Write what `url` yields to `target`. Raises DataError if that is too short or has another digest."""
    import hashlib
    from urllib.request import urlopen

    digest, size = hashlib.sha256(), 0
    with urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as file:  # noqa: S310 - mirrors are constants
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        promised = response.headers["Content-Length"] or ""
    if promised.isdecimal() and size != int(promised):
        raise DataError(f"the transfer ended after {size} of {promised} bytes")
    if digest.hexdigest() != sha256:
        raise DataError(f"wrong checksum: the SHA-256 of {target.name} is {digest.hexdigest()}, not {sha256}")
