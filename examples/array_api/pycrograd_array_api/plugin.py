"""What `pycrograd` finds through the entry point. Importing this imports no array library."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl

if TYPE_CHECKING:
    from .matrix import ArrayMatrix

NAMESPACES = {  # by what a device begins with: a library, and its module that conforms. One more is one more line here
    "numpy": ("numpy", "array_api_compat.numpy"),  # the default, always there: the core needs it too
    "torch": ("torch", "array_api_compat.torch"),
    "jax": ("jax", "jax.numpy"),
    "cupy": ("cupy", "array_api_compat.cupy"),
    "strict": ("array_api_strict", "array_api_strict"),
}


def load(device: str | None) -> type[ArrayMatrix]:
    """The matrix class for a namespace, as `torch`, or for a device of it by a part of its name, as `torch:cuda`."""
    name, _, part = (device or "numpy").partition(":")
    if name not in NAMESPACES:
        raise BackendError(f"the backend 'array-api' has no device {device!r}; Known: {', '.join(NAMESPACES)}")
    library, module = NAMESPACES[name]
    if find_spec(library) is None:
        raise BackendError(f"the device {name!r} is not installed: pip install 'pycrograd-array-api[{name}]'")
    from .matrix import bound

    xp = import_module(module)
    with warnings.catch_warnings(action="ignore"):  # PyTorch finds its devices by trying all that it has heard of
        places = xp.__array_namespace_info__().devices() if part else [xp.zeros(1).device]
    known = {str(place): place for place in places if place is not None}  # JAX has None too, for any of them
    found = next((word for word in known if part in word), None)
    if found is None:
        raise BackendError(f"the device {name!r} has no {part!r}; Known: {', '.join(known)}")
    return bound(name, xp, known[found])


def probe() -> Probe:
    """The namespaces that are installed."""
    devices = tuple(name for name, (library, _) in NAMESPACES.items() if find_spec(library))
    return Probe(f"array-api-compat {version('array-api-compat')}", devices)


@hookimpl
def pycrograd_register_backends() -> list[BackendSpec]:
    """The one backend of this distribution."""
    return [BackendSpec("array-api", (1, 0), "any namespace of the Python array API", load, probe)]
