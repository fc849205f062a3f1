"""Distributions with a plugin each, written into a folder: what an installer leaves there."""

from pathlib import Path

BACKEND = """
from pycrograd_core.plugins import BackendSpec, Probe, hookimpl


def load(device):
    from pycrograd_core.conformance.oracle import Oracle

    return type("Copy", (Oracle,), {"__slots__": ()})


def probe():
    return Probe(version="1.0", devices=("a card",))


@hookimpl
def pycrograd_register_backends():
    return [BackendSpec(NAME, CONTRACT, "For tests.", load, probe)]
"""


def backend(name, contract=(1, 0), more=""):
    """The source of a plugin with a backend that works, but for what is done to it."""
    return f"NAME, CONTRACT = {name!r}, {contract}\n{BACKEND}{more}"


def install(folder: Path, plugins):
    """Write a distribution for each plugin: its name, and the source of its module, or None if that is gone."""
    for name, source in plugins.items():
        metadata = folder / f"stranger_{name}-1.0.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "entry_points.txt").write_text(f"[pycrograd]\n{name} = stranger_{name}\n")
        if source is not None:
            (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: stranger-{name}\nVersion: 1.0\n")
            (folder / f"stranger_{name}.py").write_text(source)
    return str(folder)
