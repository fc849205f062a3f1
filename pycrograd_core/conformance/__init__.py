"""The conformance kit: what holds a backend to the contract, wherever it comes from.

`pycrograd check BACKEND` runs it, and so does a test class of the backend's own:

    class TestMine(BackendConformance):
        backend = "mine"

It asks for capabilities, never for names.
"""

from __future__ import annotations

from .check import Check, Evidence
from .subject import Subject


def checks(subject: Subject) -> list[Check]:
    """All checks that the kit has for this backend, tier by tier, also those that it lacks the capability for."""
    from .tiers import TIERS

    return [check for tier in TIERS for check in tier.checks(subject)]


__all__ = ["Check", "Evidence", "Subject", "checks"]
