"""The source of backends to be checked: right ones, and ones that do something to their process."""

FAULTY = """
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl


def load(device):
    from pycrograd_core.conformance.oracle import Oracle
    {loading}

    class Copy(Oracle):
        __slots__ = ()
        device = "a card"
        {body}

    return Copy


@hookimpl
def pycrograd_register_backends():
    return [BackendSpec({name!r}, (1, 0), "For tests.", load, lambda: Probe("7.5", ("a card",)))]
"""


def faulty(name, body="", loading=""):
    """A backend on NumPy's formulas, with something of its own in its class."""
    return FAULTY.format(name=name, body=body, loading=loading)
