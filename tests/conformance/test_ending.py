"""Faults that end the process of whoever asks, or keep it for ever, are found too, in processes of their own."""

from functools import partial

import pytest

from conformance.mutants import ENDING, described, load
from pycrograd_core.conformance import supervisor
from pycrograd_core.conformance.result import Outcome
from pycrograd_core.conformance.supervisor import Supervisor

LONG = [pytest.mark.slow]  # waits for what never comes


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(each, id=each.name, marks=LONG * (each.outcome is Outcome.TIMED_OUT)) for each in ENDING],
)
def test_a_fault_is_found(mutant, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE", 1.0)
    with Supervisor(partial(load, mutant.name), seconds=5, describe=described) as checked:
        (check,) = [each for each in checked.introduction.checks if each.id == mutant.check]
        (result,) = checked.run([check])
    assert result.outcome is mutant.outcome
