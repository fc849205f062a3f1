"""What `pycrograd` finds through the entry point."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl

if TYPE_CHECKING:
    from .matrix import PythonMatrix


def load(device: str | None) -> type[PythonMatrix]:
    """The matrix class. There is one device, the CPU. Raises BackendError for any other."""
    if device not in (None, "cpu"):
        raise BackendError(f"the backend 'python' has no device {device!r}; Known: cpu")
    from .matrix import PythonMatrix

    return PythonMatrix


def probe() -> Probe:
    """Python's version. It runs wherever this does."""
    return Probe(version=platform.python_version(), devices=(f"CPU, {platform.python_implementation()}",))


@hookimpl
def pycrograd_register_backends() -> list[BackendSpec]:
    """The one backend of this distribution."""
    return [
        BackendSpec(
            name="python",
            contract=(1, 0),
            summary="Plain Python: the executable specification of every kernel",
            load=load,
            probe=probe,
            priority=10,
        )
    ]
