"""Processes for what plugins do: they may crash and hang there, and take nobody along.

Whoever begins one ends it, and with it all that it has begun itself. One that is left behind ends when it listens.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

GRACE = 5.0  # seconds that a process has to end
BEAT = 0.05  # seconds between two looks at whether it has ended


class EndedError(Exception):
    """A process has ended, and says nothing more. The message says how it ended."""


class Apart:
    """A process that runs `target(pipe, *arguments)`, and the other end of its pipe. May be used by several threads."""

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # No daemon, since those may not begin processes. `multiprocessing` would wait for it when this program ends.
        self._process = context.Process(target=_begin, args=(target, theirs, *arguments), daemon=False)
        self._process.start()
        self._killed = False
        atexit.register(self.kill)
        theirs.close()

    def say(self, message: Any) -> None:
        """Send it a message."""
        with suppress(OSError):  # if it has ended, that is heard of next
            self._pipe.send(message)

    def heard(self, seconds: float) -> Any:
        """What it says next; None if it says nothing for so long. Raises EndedError if it has ended.

        That is seen by the process, for others may hold its end of the pipe, and it may have closed it.
        """
        until = time.monotonic() + seconds
        try:
            while True:
                ended = self._process.exitcode is not None  # asked first: what it said before is in the pipe by now
                left = until - time.monotonic()
                if self._pipe.poll(0 if ended else max(0.0, min(BEAT, left))):
                    return self._pipe.recv()
                if ended:
                    break
                if left <= 0:
                    return None
        except (EOFError, OSError):
            pass  # the pipe is closed: most often since the process has ended
        code = self._code(GRACE)
        self.kill()
        raise EndedError("its process closed the pipe that it answers through" if code is None else ending(code))

    def end(self) -> None:
        """End it when it has finished what it does, or, if that takes long, at once."""
        self.say(None)
        self._code(GRACE)
        self.kill()

    def kill(self) -> None:
        """End it, and what it has begun, at once."""
        if self._killed:  # another process may be called by its number by now
            return
        self._killed = True
        if hasattr(os, "killpg") and self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):  # all have ended, or it has no group of its own yet
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._code(GRACE)
        atexit.unregister(self.kill)

    def _code(self, seconds: float) -> int | None:
        """Its exit code, for which this waits so long."""
        until = time.monotonic() + seconds
        while self._process.exitcode is None and time.monotonic() < until:
            time.sleep(BEAT / 10)
        return self._process.exitcode


def ending(code: int) -> str:
    """How a process ended, by its exit code."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal, which has no name
        name = f"signal {-code}"
    return f"its process was ended by {name}"


def _begin(target: Callable[..., None], pipe: Connection, *arguments: Any) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # what it begins is ended with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever began it
    os.dup2(2, 1)  # what a plugin prints is no part of a command's output
    target(pipe, *arguments)
