"""Random graphs as steps, where a backend leaves a program to the core: replayed, it does what the step does eagerly.

Those that backends compile are the kit's affair.
"""

import pytest

from places import BACKENDS, EXACT
from pycrograd_core import get_backend
from pycrograd_core.conformance import Subject
from pycrograd_core.conformance.graphs import GRAPHS
from pycrograd_core.conformance.tiers.capture import random_steps


@pytest.mark.many_programs
@pytest.mark.parametrize("first", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_random_step_replayed_by_the_core_is_the_step(name, monkeypatch, first):
    matrix = get_backend(name)
    monkeypatch.setattr(matrix, "compile", classmethod(lambda cls, program: None))
    random_steps(Subject(matrix), range(first, GRAPHS, 8), "float64" if name in EXACT else "float32")
