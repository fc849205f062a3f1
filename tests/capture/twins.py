"""Twins for the tests of capture: the same model and step twice, one to run eagerly and one to capture."""

import numpy as np

from pycrograd_core import RandomStream, Tensor, nn, optim, use_backend
from pycrograd_core.random import use_stream

OPTIMISERS = {
    "sgd": lambda parameters: optim.SGD(parameters, 0.1),
    "decay": lambda parameters: optim.SGD(parameters, 0.1, weight_decay=0.02),
    "decoupled": lambda parameters: optim.SGD(parameters, 0.1, weight_decay=0.02, decoupled=True),
    "momentum": lambda parameters: optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=0.02),
    "nesterov": lambda parameters: optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: optim.Adam(parameters, 0.02),
    "adamw": lambda parameters: optim.AdamW(parameters, 0.02),
}


class Setting:
    """A small classifier and its data on a backend; two of the same arguments begin alike."""

    def __init__(self, backend, dtype="float64", optimiser="sgd", layers=None, rows=12):
        rng = np.random.default_rng(0)
        with use_backend(backend), use_stream(RandomStream(3)):
            self.model = nn.Sequential(*(layers or usual)())
            if dtype != "float32":
                self.model.to(dtype=dtype)
            self.optimiser = OPTIMISERS[optimiser](self.model.parameters())
            self.x = Tensor(rng.random((rows, 8)), dtype=dtype)
            self.labels = Tensor(rng.integers(0, 5, rows), dtype="int32")

    def step(self, x, labels):
        """As the README writes it."""
        loss = nn.cross_entropy(self.model(x), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss

    def state(self):
        """All that training changes."""
        return self.model.state_dict() | self.optimiser.state_dict()


def usual():
    return [nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)]


def with_dropout():
    return [nn.Linear(8, 16), nn.Dropout(0.4), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 5)]


def assert_alike(one, other, rtol=1e-12):
    """Two settings are in the same state."""
    states = one.state(), other.state()
    assert states[0].keys() == states[1].keys()
    for name, values in states[0].items():
        np.testing.assert_allclose(states[1][name], values, rtol=rtol, atol=rtol, err_msg=name)
