"""Small networks and their data, to be trained on any backend from the same bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pycrograd_core import nn, ops, optim
from pycrograd_core.random import RandomStream, use_stream
from pycrograd_core.tensor import Tensor

from .subject import Subject

Layers = Callable[[], Sequence[nn.Module]]

NETWORKS: dict[str, Layers] = {
    "softmax regression": lambda: [nn.Linear(20, 7)],
    "relu": lambda: [nn.Linear(20, 33), nn.ReLU(), nn.Linear(33, 16), nn.ReLU(), nn.Linear(16, 7)],
    "tanh and sigmoid": lambda: [nn.Linear(20, 17), nn.Tanh(), nn.Linear(17, 8), nn.Sigmoid(), nn.Linear(8, 7)],
    "normalised": lambda: [nn.Linear(20, 24), nn.LayerNorm(24), nn.GELU(), nn.Dropout(0.25), nn.Linear(24, 7)],
    "max margin": lambda: [nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 1)],
}
OPTIMISERS: dict[str, Callable[[Sequence[Tensor]], optim.Optimiser]] = {
    "sgd": lambda parameters: optim.SGD(parameters, 0.05, weight_decay=0.01),
    "momentum": lambda parameters: optim.SGD(parameters, 0.02, momentum=0.9, nesterov=True),
    "adam": lambda parameters: optim.Adam(parameters, 0.01),
    "adamw": lambda parameters: optim.AdamW(parameters, 0.01),
}
ROWS = 160


@dataclass
class Training:
    """A network on a backend, its optimiser and its data. Two with the same arguments begin with the same bits."""

    subject: Subject
    network: str
    optimiser_name: str
    dtype: str

    def __post_init__(self) -> None:
        numbers = np.random.default_rng(5)
        with self.subject.use(), use_stream(RandomStream(3, self.network)):
            self.model = nn.Sequential(*NETWORKS[self.network]())
            if self.dtype != "float32":
                self.model.to(dtype=self.dtype)
            self.optimiser = OPTIMISERS[self.optimiser_name](self.model.parameters())
        x = numbers.uniform(-1, 1, (ROWS, 20)).astype("float32")
        self.x = self.subject.tensor(x, self.dtype)
        margin = self.network == "max margin"
        labels = np.where(x[:, :1] > 0, 1.0, -1.0) if margin else (np.abs(x[:, :1] * 20) % 7).astype("int32")
        self.labels = self.subject.tensor(labels, self.dtype if margin else "int32")
        self.loss = ops.max_margin if margin else ops.cross_entropy

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """One step of training, as the README writes it."""
        loss: Tensor = self.loss(self.model(x), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss

    def parts(self, rows: Any) -> tuple[Tensor, Tensor]:
        """A batch of these rows."""
        return self.x.take_rows(rows), self.labels.take_rows(rows)

    def state(self) -> dict[str, Any]:
        """All that training changes."""
        return self.model.state_dict() | self.optimiser.state_dict()


def batches(steps: int, size: int) -> Any:
    """Row numbers, steps × size."""
    return np.random.default_rng(size).integers(0, ROWS, (steps, size))
