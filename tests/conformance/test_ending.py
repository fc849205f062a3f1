"""Faults that end the process of whoever asks, or keep it for ever, are found too, in processes of their own."""

from functools import partial

import pytest

from conformance.mutants import ENDING, described, load
from pycrograd_core.conformance import supervisor
from pycrograd_core.conformance.supervisor import Supervisor


@pytest.mark.parametrize("mutant", ENDING, ids=[mutant.name for mutant in ENDING])
def test_a_fault_is_found(mutant, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE", 1.0)
    with Supervisor(partial(load, mutant.name), seconds=5, describe=described) as checked:
        (check,) = [each for each in checked.introduction.checks if each.id == mutant.check]
        (result,) = checked.run([check])
    assert result.outcome is mutant.outcome
