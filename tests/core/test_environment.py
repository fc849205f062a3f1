"""What is recorded beside a result."""

import threading
from dataclasses import replace

import pytest

from pycrograd_core import environment, plugins
from pycrograd_core.plugins import Probe, candidates


@pytest.fixture
def probed(monkeypatch, backend):
    """What is recorded of a backend whose probe is another one."""

    def record(probe):
        candidate = candidates()[backend.backend]
        other = replace(candidate, spec=replace(candidate.spec, probe=probe))
        monkeypatch.setattr(plugins, "candidates", lambda: {backend.backend: other})
        return environment.environment(backend)["backend"]

    return record


def test_what_a_probe_finds_is_recorded(probed):
    found = probed(lambda: Probe("2.5", ("a device", "another")))
    assert found["runtime"] == "2.5"
    assert found["devices"] == ["a device", "another"]
    assert "reason" not in found


def test_a_probe_that_raises_is_a_reason(probed):
    found = probed(lambda: 1 // 0)
    assert (found["devices"], found["reason"]) == ([], "ZeroDivisionError: integer division or modulo by zero")


def test_a_probe_that_hangs_costs_its_time_and_no_more(probed, monkeypatch):
    monkeypatch.setattr(environment, "PROBING", 0.1)
    never = threading.Event()
    found = probed(never.wait)
    never.set()
    assert (found["devices"], found["reason"]) == ([], "its probe took more than 0.1 seconds")
