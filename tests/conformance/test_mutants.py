"""The kit can fail: it finds every fault, by the check that is meant to, and none where there is none."""

import pytest

from conformance.honest import Honest
from conformance.mutants import ENDING, MUTANTS, SOURCE, changed
from conformance.variations import VARIATIONS
from pycrograd_core.conformance import Subject, checks
from pycrograd_core.conformance.result import Outcome
from pycrograd_core.conformance.runner import attempt, run
from pycrograd_core.conformance.tiers import TIERS

SLOW = ("growth",)
QUICK = [mutant for mutant in MUTANTS if mutant.tier not in SLOW]
PROGRAMS, DERIVED = "def compile", "# Derived ops"  # where parts of honest.py begin


def asked(matrix, check):
    """A check of a backend, by its id."""
    return next(each for each in checks(Subject(matrix)) if each.id == check)


def failures(matrix, wanted):
    """What fails of the wanted checks of a backend, one after the other."""
    subject = Subject(matrix)
    results = run(subject, [check for check in checks(subject) if wanted(check)])
    return (result for result in results if result.outcome == Outcome.FAILED)


def names(mutants):
    return [mutant.name for mutant in mutants]


def test_every_fault_has_its_name_and_its_line():
    every = [*MUTANTS, *ENDING]
    assert len(set(names(every))) == len(every)
    for mutant in every:
        assert "\n" not in mutant.after, mutant.name
        assert mutant.load().backend == "honest"


@pytest.mark.parametrize("mutant", QUICK, ids=names(QUICK))
def test_a_fault_is_found(mutant):
    check = asked(mutant.load(), mutant.check)
    result = attempt(check).result
    assert result.outcome == mutant.outcome
    assert (check.op or "") in result.message
    assert result.message


@pytest.mark.parametrize("check", sorted({mutant.check for mutant in QUICK}))
def test_what_finds_a_fault_finds_none_where_there_is_none(check):
    assert attempt(asked(Honest, check)).result.message == ""


@pytest.mark.parametrize("fault", ["three operands change places", "a sum of a square goes along the other axis"])
def test_random_graphs_find_faults_too_though_never_first(fault):
    mutant = next(mutant for mutant in MUTANTS if mutant.name == fault)
    assert next(failures(mutant.load(), lambda check: check.tier == "graphs")).message.startswith("graph ")


def test_every_tier_finds_some_fault():
    assert {tier.name for tier in TIERS} - {mutant.tier for mutant in MUTANTS} == {"graphs"}


# All that comes before, and all that is right -----------------------------------------------------------------------


def out_of_reach(mutant):
    """The tiers that call nothing of the part of honest.py in which the fault is, and those that take too long."""
    source = SOURCE.read_text("utf-8")
    place = source.index(mutant.before)
    if place > source.index(DERIVED):
        return {"kernels", *SLOW}
    return {"kernels", "values", "gradients", "fused", "graphs", *SLOW} if place > source.index(PROGRAMS) else {*SLOW}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=names(MUTANTS))
def test_no_earlier_check_finds_it(mutant):
    skipped = out_of_reach(mutant) - {mutant.tier}
    assert next(failures(mutant.load(), lambda check: check.tier not in skipped)).check == mutant.check


@pytest.mark.slow
def test_the_honest_backend_is_found_honest():
    subject = Subject(Honest)
    assert {result.outcome for result in run(subject, checks(subject))} == {Outcome.PASSED}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIATIONS)
def test_other_honest_backends_are_found_honest(name):
    assert [*failures(changed(*VARIATIONS[name]), lambda check: check.tier not in SLOW)] == []
