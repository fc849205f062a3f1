"""The command line: one file a command, each importing what it needs only when it runs.

Exit codes: 0 done; 1 the run failed; 2 the command or the configuration is wrong; 130 interrupted. A user's mistake is
one message on stderr. Only a defect of the program shows a traceback, and a broken plugin, which shows its own.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

FAILED, WRONG, INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # × and → where the terminal has no such characters
    try:
        from .app import app

        app(prog_name="pycrograd")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as failure:  # noqa: BLE001  all that is not a user's mistake is raised again
        sys.exit(_tell(failure))


def _tell(failure: Exception) -> int:
    """Tell a failure on stderr, and give the exit code for it. What is not a user's mistake is raised again."""
    import traceback

    from pycrograd_core.errors import BackendError, ConfigError, PluginError, PycrogradError

    if isinstance(failure, MemoryError):
        failure = PycrogradError(f"not enough memory: {failure}" if str(failure) else "not enough memory")
    if isinstance(failure, OSError) and failure.filename is None:
        failure = PycrogradError(f"cannot write the output: {failure.strerror or failure}")
    if not isinstance(failure, PycrogradError):
        raise failure
    plugins = failure.__cause__ if isinstance(failure, ConfigError) else failure
    if isinstance(plugins, (BackendError, PluginError)) and plugins.__cause__ is not None:
        traceback.print_exception(plugins.__cause__)
    print(f"error: {failure}", file=sys.stderr)  # noqa: T201
    return WRONG if isinstance(failure, ConfigError) else FAILED
