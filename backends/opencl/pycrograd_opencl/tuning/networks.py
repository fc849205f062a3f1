"""Small networks of awkward sizes, which settings must do right before they are kept, held against NumPy in float64.

Between them, batches and widths are 1, 2ᵏ ± 1 up to 257, 256, and longer than what is summed in one go; multiples of
what is worked on at once, and not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pycrograd_core import Tensor, ops, optim
from pycrograd_core.capture.program import Program
from pycrograd_core.capture.symbolic import placeholder
from pycrograd_core.capture.trace import trace
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_opencl.compiled.schedule import Schedule
from pycrograd_opencl.compiled.settings import Settings

from .rehearsal import CHECKED, Numbers, Rehearsal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pycrograd_opencl.matrix import OpenCLMatrix

SAMPLES = 300
RATE = 0.5
CUT = 1 << 11  # multiplications of an update's tile, so that small networks have several, and a remainder


@dataclass(frozen=True)
class Network:
    """A batch of rows, and the widths from the inputs to the classes.

    `cut`: its updates are cut into tiles as large ones are. `large`: its products are done as large ones are.
    """

    rows: int
    widths: tuple[int, ...]
    cut: bool = False
    large: bool = False

    def settings(self, wanted: Settings, made: Schedule) -> Settings:
        """The settings that do with this network what the wanted ones do with a step that may be far larger."""
        settings = replace(wanted, whole=made.group > 0)
        if self.cut:
            settings = replace(settings, tile=min(CUT, settings.tile))
        if self.large:
            settings = replace(settings, large=0.0, busy=0.0)
        return settings


NETWORKS = (
    Network(33, (513, 65, 7), cut=True),
    Network(1, (255, 63, 3)),
    Network(257, (129, 15, 9), cut=True),
    Network(32, (257, 1, 17)),
)
LARGE = Network(31, (127, 256, 11), cut=True, large=True)  # for steps that leave some product to the generator


def passes(settings: Settings, made: Schedule, matrix: type[OpenCLMatrix], dtype: str) -> bool:
    """Whether settings, which make this of the step that they are for, are right for every network."""
    chosen = [*NETWORKS, LARGE] if any(task.own for task in made.tasks) else NETWORKS
    return all(right(network, network.settings(settings, made), matrix, dtype) for network in chosen)


def right(network: Network, settings: Settings, matrix: type[OpenCLMatrix], dtype: str) -> bool:
    """Whether settings make some steps of a network that compute what NumPy does."""
    program, numbers, parameters = traced(network, matrix, dtype)
    rehearsal = Rehearsal(program, matrix, numbers)
    data, labels = (numbers[value] for value in program.arguments)
    expected = _trained(parameters, data, labels, rehearsal.order[:CHECKED])
    states = dict(zip(parameters, expected[1:], strict=True))
    ordered = [expected[0], *(states.get(value, numbers[value]) for value in program.states)]
    typed = [np.asarray(array, dtype) for array in ordered]
    return rehearsal.agree(rehearsal.outcome(rehearsal.build(settings)), typed)


def traced(
    network: Network, matrix: type[OpenCLMatrix], dtype: str
) -> tuple[Program, Numbers, dict[Any, NDArray[Any]]]:
    """The program of a step, what all that it reads holds, and the parameters from the first to the last."""
    draw = np.random.default_rng(network.rows)
    layers = [
        [Tensor.of(placeholder(shape, dtype), requires_grad=True) for shape in ((rows, cols), (1, cols))]
        for rows, cols in pairwise(network.widths)
    ]
    parameters = [tensor for layer in layers for tensor in layer]
    optimiser = optim.SGD(parameters, RATE)

    def step(x: Tensor, labels: Tensor) -> Tensor:
        for weight, bias in layers[:-1]:
            x = ops.linear(x, weight, bias).tanh()
        loss = ops.cross_entropy(ops.linear(x, *layers[-1]), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    inputs, classes = network.widths[0], network.widths[-1]
    given = [((network.rows, inputs), dtype), ((network.rows, 1), INDEX_DTYPE)]
    program = trace(step, [Tensor.of(placeholder(*each)) for each in given], known=parameters).program
    program = replace(program, matrix=matrix)
    values = {id(matrix): value for value, matrix in program.states.items()}
    held = {
        values[id(tensor.value)]: draw.standard_normal(tensor.shape).astype(dtype) / np.sqrt(tensor.shape[0] + 1)
        for tensor in parameters
    }
    x, labels = program.arguments
    data = {x: draw.standard_normal((SAMPLES, inputs)), labels: draw.integers(0, classes, (SAMPLES, 1))}
    rate = {values[id(optimiser.rate.value)]: np.full((1, 1), RATE)}
    numbers = {value: np.asarray(array, value.dtype) for value, array in {**held, **data, **rate}.items()}
    return program, numbers, {value: numbers[value].astype(np.float64) for value in held}


def _trained(
    start: dict[Any, NDArray[Any]], data: NDArray[Any], labels: NDArray[Any], order: NDArray[Any]
) -> Sequence[NDArray[Any]]:
    """The losses of the steps, steps × 1, and the parameters after them."""
    parameters = [array.copy() for array in start.values()]
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    losses = []
    for chosen in order:
        activations = [data[chosen].astype(np.float64)]
        for weight, bias in layers[:-1]:
            activations.append(np.tanh(activations[-1] @ weight + bias))
        logits = activations[-1] @ layers[-1][0] + layers[-1][1]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        hot = np.eye(logits.shape[1])[labels[chosen, 0]]
        losses.append([-np.log((shares * hot).sum(axis=1)).mean()])
        g = (shares - hot) / len(chosen)
        for (weight, bias), x in zip(reversed(layers), reversed(activations), strict=True):
            before = g @ weight.T * (1 - x * x)
            weight -= RATE * x.T @ g
            bias -= RATE * g.sum(axis=0, keepdims=True)
            g = before
    return [np.array(losses), *parameters]
