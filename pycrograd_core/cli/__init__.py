"""The command line: one file a command, each importing what it needs only when it runs.

Exit codes: 0 done; 1 the run failed; 2 the command or the configuration is wrong; 130 interrupted. A user's mistake is
one message on stderr. Only a defect of the program shows a traceback, and a broken plugin, which shows its own.
"""

from __future__ import annotations

import sys

FAILED, WRONG = 1, 2


def main() -> None:
    """Run the command line."""
    from .app import app

    try:
        app(prog_name="pycrograd")
    except Exception as failure:  # noqa: BLE001  all that is not a user's mistake is raised again
        sys.exit(_tell(failure))


def _tell(failure: Exception) -> int:
    """Tell a failure on stderr, and give the exit code for it. What is not a user's mistake is raised again."""
    import traceback

    from pycrograd_core.errors import BackendError, ConfigError, PluginError, PycrogradError

    if not isinstance(failure, PycrogradError):
        raise failure
    cause = failure.__cause__
    broken = cause.__cause__ if isinstance(cause, BackendError) else cause
    if broken is not None and isinstance(failure, (BackendError, ConfigError, PluginError)):
        traceback.print_exception(broken)
    print(f"error: {failure}", file=sys.stderr)  # noqa: T201
    return WRONG if isinstance(failure, ConfigError) else FAILED
