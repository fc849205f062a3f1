"""A process that was forked from one that used OpenCL.

The threads of its drivers are gone, and whatever waits for them hangs. So there every use is an error that says how to
start such a process. To list the devices is to use them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from pycrograd_core.errors import BackendError

listeners: list[Callable[[], None]] = []  # what is called in such a process, before anything else
_watched = _forked = False


def watch() -> None:
    """From here on, processes that are forked are told from this one."""
    global _watched
    if not _watched and hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(after_in_child=_note)
        _watched = True


def refusal() -> BackendError | None:
    """The error to raise in a process that was forked from one that watched; None in any other."""
    if not _forked:
        return None
    return BackendError(
        "this process was forked from one that had used OpenCL, whose drivers do not survive that: start it with"
        " multiprocessing.get_context('spawn')"
    )


def _note() -> None:
    global _forked
    _forked = True
    for listener in listeners:
        listener()
