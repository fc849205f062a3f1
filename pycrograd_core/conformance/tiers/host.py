"""Values come from the host and go back to it bit for bit, and share no memory that is written to."""

from __future__ import annotations

from collections.abc import Iterator

from pycrograd_core.conformance.check import Check
from pycrograd_core.conformance.subject import Subject


def checks(subject: Subject) -> Iterator[Check]:
    """The checks of this tier."""
    yield from ()
