"""Random graphs as training steps: some leaves are parameters that each step updates, others are arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from pycrograd_core import ops
from pycrograd_core.autograd import no_grad
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops import TABLE
from pycrograd_core.tensor import Tensor

from .graphs import graph
from .subject import Subject


class RandomStep:
    """A graph with its parameters on a backend, and the step. Two of the same seed begin alike."""

    def __init__(self, seed: int, subject: Subject, dtype: str) -> None:
        self.entries = graph(seed)[0]
        numbers = np.random.default_rng(seed)
        self.subject, self.dtype = subject, dtype
        self.kept: dict[int, Tensor] = {}
        self.parameters: dict[int, Tensor] = {}
        self.given: list[int] = []
        for number, entry in enumerate(self.entries):
            if entry.op:
                continue
            if entry.requires_grad and numbers.random() < 0.5:
                self.given.append(number)
                continue
            kind = INDEX_DTYPE if entry.value.dtype.kind == "i" else dtype
            self.kept[number] = tensor = subject.tensor(entry.value, kind, entry.requires_grad)
            if entry.requires_grad:
                self.parameters[number] = tensor
        self.rate = subject.tensor([[0.01]], dtype)
        self.momentum = {number: tensor.new_full(*tensor.shape, 0.0) for number, tensor in self.parameters.items()}

    def arguments(self, call: int) -> list[Tensor]:
        """Values for the leaves that are arguments."""
        return [
            self.subject.tensor(self.entries[number].value * (1 + 0.01 * call), self.dtype) for number in self.given
        ]

    def step(self, *arguments: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """The result, some of the gradients, and some value on the way. Every parameter is updated in place."""
        given = dict(zip(self.given, arguments, strict=True))
        values: list[Tensor] = []
        for number, entry in enumerate(self.entries):
            if entry.op:
                values.append(TABLE[entry.op](*[values[i] for i in entry.inputs], **entry.params))
            else:
                values.append(given[number] if number in given else self.kept[number])
        total = values[-1]
        for parameter in self.parameters.values():
            parameter.grad = None
        if total.requires_grad:
            total.backward()
        return total, self._updated()[::2], values[len(values) // 2]

    def _updated(self) -> list[Tensor]:
        gradients = []
        with no_grad():
            for number, parameter in self.parameters.items():
                if parameter.grad is None:
                    continue
                gradients.append(parameter.grad)
                if number % 3:
                    self.momentum[number].update(ops.accumulate, parameter.grad, decay=0.5, weight=1.0)
                    parameter.update(ops.sgd_update, self.momentum[number], self.rate)
                else:
                    parameter.update(ops.sgd_update, parameter.grad, self.rate)
        return gradients

    def tensors(self) -> list[Tensor]:
        """All that the step writes to."""
        return [*self.parameters.values(), *self.momentum.values()]

    def state(self) -> list[Any]:
        """Their values."""
        return [tensor.numpy() for tensor in self.tensors()]
