"""What `pycrograd` finds through the entry point. It only registers, and imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl

if TYPE_CHECKING:
    from .matrix import CKernelsMatrix


def load(device: str | None) -> type[CKernelsMatrix]:
    """The matrix class, for a device of `--device`. Raises BackendError for one that there is not."""
    if device not in (None, "cpu"):
        raise BackendError(f"the backend 'c-kernels' has no device {device!r}; Known: cpu")
    from .matrix import CKernelsMatrix

    return CKernelsMatrix


def probe() -> Probe:
    """What there is to compute on, for `pycrograd backends`: devices, or the reason why there are none."""
    return Probe(devices=("CPU",))


@hookimpl
def pycrograd_register_backends() -> list[BackendSpec]:
    """The one backend of this distribution."""
    return [
        BackendSpec(
            name="c-kernels",
            contract=(1, 0),
            summary="A new backend in C",
            load=load,
            probe=probe,
        )
    ]
