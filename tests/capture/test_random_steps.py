"""Random graphs as steps: captured, they compute, differentiate and update what they do eagerly.

The graphs are those of `tests/core/graphs.py`, which reach every differentiable op. Some leaves are parameters that
each step updates, the others arguments that differ from call to call.
"""

import numpy as np
import pytest

from places import PLACES
from pycrograd_core import Tensor, capture, get_backend, no_grad, ops
from pycrograd_core.conformance.graphs import GRAPHS, graph
from pycrograd_core.op import TABLE

CALLS = 5  # traced, confirmed, and replayed in the two ways that calls are
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}


class Twin:
    """A graph's parameters, and the step."""

    def __init__(self, seed, name, dtype):
        self.entries = graph(seed)[0]
        numbers = np.random.default_rng(seed)
        self.kept, self.parameters, self.given = {}, {}, []
        for number, entry in enumerate(self.entries):
            if entry.op:
                continue
            kind = "int32" if entry.value.dtype.kind == "i" else dtype
            if entry.requires_grad and numbers.random() < 0.5:
                self.given.append(number)
                continue
            tensor = Tensor(entry.value, requires_grad=entry.requires_grad, backend=name, dtype=kind)
            self.kept[number] = tensor
            if entry.requires_grad:
                self.parameters[number] = tensor
        self.rate = Tensor([[0.01]], backend=name, dtype=dtype)
        self.momentum = {number: tensor.new_full(*tensor.shape, 0.0) for number, tensor in self.parameters.items()}
        self.place = {"backend": name, "dtype": dtype}

    def arguments(self, call):
        """Values for the leaves that are arguments."""
        return [Tensor(self.entries[number].value * (1 + 0.01 * call), **self.place) for number in self.given]

    def step(self, *arguments):
        given = dict(zip(self.given, arguments, strict=True))
        values = []
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
        return total, gradients[::2], values[len(values) // 2]

    def state(self):
        return [tensor.numpy() for tensor in (*self.parameters.values(), *self.momentum.values())]


def close(found, expected, dtype):
    scale = max(np.abs(expected).max(initial=0.0), 1.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.many_programs
@pytest.mark.parametrize("first", [0, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "dtype"), PLACES)
def test_a_random_step_captured_is_the_step(name, dtype, first):
    for seed in range(first, GRAPHS, 6):
        eager, captured = Twin(seed, name, dtype), Twin(seed, name, dtype)
        step = capture(captured.step)
        for call in range(CALLS):
            expected, found = eager.step(*eager.arguments(call)), step(*captured.arguments(call))
            close(found[0].numpy(), expected[0].numpy(), dtype)
            close(found[2].numpy(), expected[2].numpy(), dtype)
            for one, other in zip(found[1], expected[1], strict=True):
                close(one.numpy(), other.numpy(), dtype)
            for one, other in zip(captured.state(), eager.state(), strict=True):
                close(one, other, dtype)
            if dtype == "float32":  # each step is compared from the same state
                for one, other in zip(
                    (*captured.parameters.values(), *captured.momentum.values()), eager.state(), strict=True
                ):
                    with no_grad():
                        one.assign(other)
        assert len(step.programs) == 1, seed


@pytest.mark.many_programs
@pytest.mark.parametrize("first", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", sorted({name for name, _ in PLACES}))
def test_a_random_step_replayed_by_the_core_is_the_step(name, monkeypatch, first):
    dtype = "float64" if (name, "float64") in PLACES else "float32"
    monkeypatch.setattr(get_backend(name), "compile", classmethod(lambda cls, program: None))
    for seed in range(first, GRAPHS, 8):
        eager, captured = Twin(seed, name, dtype), Twin(seed, name, dtype)
        step = capture(captured.step)
        for call in range(CALLS):
            close(step(*captured.arguments(call))[0].numpy(), eager.step(*eager.arguments(call))[0].numpy(), dtype)
        for one, other in zip(captured.state(), eager.state(), strict=True):
            close(one, other, dtype)
