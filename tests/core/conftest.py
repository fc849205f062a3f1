"""What the tests of the core share besides `places`, `reference` and `graphs`."""

import pytest

from pycrograd_core import define_op
from pycrograd_core.op import TABLE, undefine


@pytest.fixture
def define():
    """`define_op`, for ops that are gone after the test."""
    before = set(TABLE)
    yield define_op
    for name in TABLE.keys() - before:
        undefine(name)
