"""The kit as tests: pytest finds this module through its entry point, wherever Pycrograd is installed.

    from pycrograd_core.conformance import BackendConformance

    class TestMine(BackendConformance):
        backend = "mine"

Each check is a test, named by the check, so that `-k "kernels and matmul"` chooses among them. All of them run in this
process: one that crashes takes it along, which `pycrograd check` survives. Checks that the backend lacks the capability
for are no tests. Checks that take seconds are marked `conformance_slow`: `-m "not conformance_slow"` leaves them out.
Expected failures are xfailed; one that is named, by no pattern, and passes is stale and warns.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, ClassVar

import pytest

if TYPE_CHECKING:
    from .check import Check
    from .expectations import Expectations


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known that the checks of a slow tier have: in every project, so that it is named after the kit."""
    config.addinivalue_line("markers", "conformance_slow: a check of a backend that takes more than a few seconds")


class BackendConformance:
    """Subclass it in a test module and name an installed backend, and a device of it if need be."""

    backend: ClassVar[str]
    device: ClassVar[str | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each check that the backend is asked."""
        if "check" not in metafunc.fixturenames:
            return
        from pycrograd_core.plugins import candidates, get_backend

        from .expectations import expectations
        from .runner import not_asked
        from .subject import Subject
        from .tiers import TIERS, checks

        if not hasattr(self, "backend"):
            raise pytest.UsageError(f'{type(self).__name__} must name an installed backend: `backend = "mine"`')
        subject = Subject(get_backend(self.backend, self.device))
        found = checks(subject)
        expected = expectations(candidates()[self.backend], subject.device, found)
        for key in expected.stale(found, ()):
            _warn(f"{expected.source}: {key!r} is the name of no check")
        asked = [check for check in found if not_asked(subject, check) is None]
        marks = {tier.name: [pytest.mark.conformance_slow] for tier in TIERS if tier.slow}
        metafunc.parametrize(
            ("check", "expected"),
            [pytest.param(check, expected, id=check.id, marks=marks.get(check.tier, [])) for check in asked],
        )

    def test_conformance(self, check: Check, expected: Expectations) -> None:
        """The backend does as the contract says."""
        from pycrograd_core.errors import ConformanceError

        from .runner import attempt

        reason, tried = expected.reason(check.id), attempt(check)
        if tried.failure is None:
            if expected.names(check.id):
                _warn(f"{check.id} passes, though {expected.source} expects it to fail: {reason}")
        elif reason is not None:
            pytest.xfail(reason)
        elif isinstance(tried.failure, ConformanceError):
            pytest.fail(str(tried.failure), pytrace=False)  # it says all; the lines of the kit would hide it
        else:
            raise tried.failure


def _warn(message: str) -> None:
    from .expectations import StaleExpectation

    warnings.warn(StaleExpectation(message), stacklevel=2)
