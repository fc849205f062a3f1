"""Plugins: what they implement (`specs`), how they are found (`loader`), and the backends among them (`backends`)."""

from .backends import candidates, default_backend, get_backend, use_backend
from .loader import installed
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
    "use_backend",
]
