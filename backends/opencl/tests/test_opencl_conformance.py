"""The kit, on this backend."""

from pycrograd_core.conformance import BackendConformance


class TestOpenCL(BackendConformance):
    backend = "opencl"
