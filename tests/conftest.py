"""What every test can ask for: each backend that works on this machine, in each dtype that it computes in.

Tensors that a test makes without naming a backend are made on the one of its fixture.
"""

import os

import pytest
from hypothesis import settings

from environments import environment, shared_environment
from places import BACKENDS, COSTLY, EXACT, PLACES
from pycrograd_core import Tensor, seed, use_backend
from pycrograd_core.conformance import Check

__all__ = ["environment", "shared_environment"]  # fixtures

settings.register_profile("tests", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("tests")


LATER = {"graphs", "training", "capture", "determinism", "threads"}  # tiers of the kit, which quick tests resemble


@pytest.hookimpl(tryfirst=True)  # before those marked slow are left out
def pytest_collection_modifyitems(items):
    """What compiles many programs is slow, where a program takes seconds to compile; so is most of the kit.

    What the kit marks as slow, in every project, is marked as this project marks it.
    """
    for item in items:
        many = item.get_closest_marker("many_programs") and names(item) & set(COSTLY)
        if many or tier(item) in LATER or item.get_closest_marker("conformance_slow"):
            item.add_marker(pytest.mark.slow)


def tier(item):
    """The tier of the kit that a test is of, if it is one."""
    check = item.callspec.params.get("check") if hasattr(item, "callspec") else None
    return check.tier if isinstance(check, Check) else None


def names(item):
    """The strings among a test's parameters, backends among them."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {part for value in values for part in (value if isinstance(value, tuple) else (value,)) if type(part) is str}


@pytest.fixture(autouse=True)
def default_stream():
    """Every test draws from seed 0, whatever ran before it."""
    seed(0)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The matrix class of each backend."""
    with use_backend(request.param) as matrix:
        yield matrix


@pytest.fixture(params=EXACT)
def exact(request):
    """The matrix class of each backend that computes in float64."""
    with use_backend(request.param) as matrix:
        yield matrix


@pytest.fixture(params=PLACES, ids="-".join)
def dtype(request):
    """Each dtype of each backend."""
    name, dtype = request.param
    with use_backend(name):
        yield dtype


@pytest.fixture
def leaf(dtype):
    """Makes tensors that require a gradient, in the dtype of the test: `leaf([[1, 2]])`."""
    return lambda data: Tensor(data, requires_grad=True, dtype=dtype)
