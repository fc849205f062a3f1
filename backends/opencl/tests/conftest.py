"""The device that the tests of this backend run on, as it is and as a GPU would be listed."""

from dataclasses import replace

import pytest

from pycrograd_opencl.devices import devices
from pycrograd_opencl.matrix import matrix_on
from pycrograd_opencl.tuning import store


@pytest.fixture(scope="session")
def pocl():
    """PoCL's CPU device, which `.ci/run` installs."""
    return next(device for device in devices() if device.platform.startswith("Portable Computing Language"))


@pytest.fixture(scope="session", params=["vectors", "groups"])
def either(request, pocl):
    """The device, for which kernels work in vectors; then as a GPU, for which they work in groups of work-items."""
    return pocl if request.param == "vectors" else replace(pocl, kind="discrete GPU", unified=False, units=3)


@pytest.fixture(scope="session")
def matrix(either):
    """The matrix class of either."""
    return matrix_on(either)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of its own for what is found."""
    monkeypatch.setenv("PYCROGRAD_CACHE", str(tmp_path))
    store.forget()
    yield tmp_path / "opencl"
    monkeypatch.undo()
    store.forget()
