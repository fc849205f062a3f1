"""The process is not the backend's: what everybody shares in it stays as it is."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from pycrograd_core.errors import ConformanceError

from .cases import drawn
from .check import Evidence
from .subject import Subject


def left_alone(subject: Subject) -> Evidence:
    """Random numbers, and how NumPy computes, are the same after every kernel, on the way to the device and back."""
    shared = np.random.get_state(), random.getstate()
    np.random.seed(20)
    random.seed(20)
    try:
        return _used(subject)
    finally:
        np.random.set_state(shared[0])
        random.setstate(shared[1])


def _used(subject: Subject) -> Evidence:
    before = _settings()
    filled = subject.matrix.full(2, 3, 0.5, "float32")
    filled.assign(subject.tensor([[0.1, 0.2, 0.3]] * 2, "float32").value)
    subject.host(filled)
    _same(before, "from_host, full, assign or to_host")
    for op in (*subject.kernels, *subject.overrides):
        inputs = subject.matrices(op, drawn(op, op.samples[0]), "float32")
        with np.errstate(all="ignore"):
            subject.host(subject.matrix.kernels[op](*inputs, **op.samples[0].params))
        _same(before, op.name)
    return Evidence(len(subject.kernels) + len(subject.overrides) + 1)


def _same(before: dict[str, Any], what: str) -> None:
    for name, setting in _settings().items():
        if setting != before[name]:
            raise ConformanceError(f"{what} changes {name}")


def _settings() -> dict[str, Any]:
    """What a library could set for the whole process."""
    halved = np.full(4, np.finfo("float32").tiny) / np.float32(2)
    return {
        "NumPy's global random numbers": str(np.random.get_state(legacy=False)),
        "Python's random numbers": random.getstate(),
        "NumPy's error handling": np.geterr(),
        "how the least numbers are rounded in this process": bool((halved > 0).all()),
    }
