"""Plugins: what they implement (`specs`), how they are found (`loader`), and their backends and ops."""

from .backends import candidates, default_backend, get_backend, use_backend
from .loader import installed
from .ops import plugin_ops
from .specs import BackendSpec, Finding, Probe, Tuned, hookimpl

__all__ = [
    "BackendSpec",
    "Finding",
    "Probe",
    "Tuned",
    "candidates",
    "default_backend",
    "get_backend",
    "hookimpl",
    "installed",
    "plugin_ops",
    "use_backend",
]
