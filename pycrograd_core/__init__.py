"""Pycrograd: automatic differentiation and small neural networks, in which the backend is a plugin.

Importing this package imports no backend and nothing heavy: names are resolved on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data, nn, ops, optim
    from .autograd import enable_grad, grad, no_grad
    from .capture.captured import capture
    from .matrix import CONTRACT, Matrix
    from .numerical import gradcheck, gradgradcheck
    from .op import define as define_op
    from .plugins import get_backend, use_backend
    from .random import RandomStream, seed
    from .tensor import Tensor

__version__ = "0.1.0"

_HOMES = {
    "CONTRACT": "matrix",
    "Matrix": "matrix",
    "RandomStream": "random",
    "Tensor": "tensor",
    "enable_grad": "autograd",
    "get_backend": "plugins",
    "grad": "autograd",
    "gradcheck": "numerical",
    "gradgradcheck": "numerical",
    "no_grad": "autograd",
    "seed": "random",
    "use_backend": "plugins",
}
_MODULES = ("capture", "data", "nn", "ops", "optim")

__all__ = [
    "CONTRACT",
    "Matrix",
    "RandomStream",
    "Tensor",
    "capture",
    "data",
    "define_op",
    "enable_grad",
    "get_backend",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "seed",
    "use_backend",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name == "define_op":
        value = import_module(f"{__name__}.op").define
    elif name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
