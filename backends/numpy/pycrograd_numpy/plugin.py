"""What `pycrograd` finds through the entry point. Importing this imports no NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl

if TYPE_CHECKING:
    from .matrix import NumPyMatrix


def load(device: str | None) -> type[NumPyMatrix]:
    """The matrix class. There is one device, the CPU. Raises BackendError for any other."""
    if device not in (None, "cpu"):
        raise BackendError(f"the backend 'numpy' has no device {device!r}; Known: cpu")
    from .matrix import NumPyMatrix

    return NumPyMatrix


def probe() -> Probe:
    """NumPy's version, the BLAS it was built with, and whether captured steps can add products to weights in it."""
    import numpy as np

    from .blas import blas

    name = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    adding = "in place" if blas("float32") and blas("float64") else "out of reach: captured updates go block by block"
    return Probe(version=np.__version__, devices=(f"CPU, {name} (accumulating {adding})",))


@hookimpl
def pycrograd_register_backends() -> list[BackendSpec]:
    """The one backend of this distribution."""
    return [
        BackendSpec(
            name="numpy",
            contract=(1, 0),
            summary="NumPy arrays and its BLAS, on the CPU",
            load=load,
            probe=probe,
            priority=50,
        )
    ]
