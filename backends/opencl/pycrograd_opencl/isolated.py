"""Modules of this package run in a process of their own, because a driver may crash or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass

PATIENCE = 60.0  # seconds: a first context on a large GPU takes a few
SHOWN = 600  # characters of what is said, the last ones


@dataclass(frozen=True)
class Ended:
    """How a process ended: None if well, else that it failed, crashed or hung; and what it said."""

    how: str | None
    said: str


def run(module: str, *arguments: str, patience: float = PATIENCE) -> Ended:
    """Run a module of this package. A process that exits with 1 has failed and said why; any other end is a crash."""
    # this process may find packages where a new one would not look; and -P, or that would look in the current folder
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-m", f"{__package__}.{module}", *arguments]
    try:
        done = subprocess.run(  # noqa: S603  our own module
            command, env=environment, capture_output=True, timeout=patience, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as hung:
        return Ended(f"hung, without an end after {patience:g} s", _text(hung.stderr, hung.stdout))
    except OSError as error:
        return Ended("could not be started", str(error))
    return Ended(_how(done.returncode), _text(done.stderr, done.stdout))


def _how(code: int) -> str | None:
    if code == 0:
        return None
    if code < 0:
        return f"crashed ({signal.strsignal(-code) or f'signal {-code}'})"
    return "failed" if code == 1 else f"crashed (exit code {code:#x})"


def _text(*streams: bytes | None) -> str:
    said = "\n".join(text for stream in streams if stream and (text := stream.decode(errors="replace").strip()))
    return said[-SHOWN:].strip()
