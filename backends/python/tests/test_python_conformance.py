"""The kit, on this backend."""

from pycrograd_core.conformance import BackendConformance


class TestPython(BackendConformance):
    backend = "python"
