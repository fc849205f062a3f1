"""The checks of `pycrograd check c-kernels`, each a test."""

from pycrograd_core.conformance import BackendConformance


class TestCKernels(BackendConformance):
    """All that the contract asks of a backend."""

    backend = "c-kernels"
