"""Where files are kept that could be made again: data sets that were fetched, what backends compile and find out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

CACHE_VARIABLE = "PYCROGRAD_CACHE"  # a folder, or `off`

_kept: ContextVar[bool] = ContextVar("pycrograd_cache", default=True)


def user_folder() -> Path:
    """The folder `pycrograd` among the user's caches.

    That is in $XDG_CACHE_HOME, else ~/.cache (XDG Base Directory Specification). An empty variable counts as unset.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "pycrograd"


def cache_folder(name: str) -> Path | None:
    """A backend's own folder of that name: in $PYCROGRAD_CACHE, else in the user's folder. It need not exist.

    None if nothing is to be kept: within `no_cache`, or if the variable is `off`.
    """
    chosen = os.environ.get(CACHE_VARIABLE, "")
    if chosen.casefold() == "off" or not _kept.get():
        return None
    return (Path(chosen).expanduser() if chosen else user_folder()) / name


@contextmanager
def no_cache() -> Iterator[None]:
    """Inside a `with` block backends keep nothing, and use nothing that was kept."""
    token = _kept.set(False)
    try:
        yield
    finally:
        _kept.reset(token)
