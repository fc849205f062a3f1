"""The kit, on this backend."""

from pycrograd_core.conformance import BackendConformance


class TestNumPy(BackendConformance):
    backend = "numpy"
