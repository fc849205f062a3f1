"""What takes part in `training_step.py`, beside what plugins bring: each written as its users write it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from pycrograd_core.benchmark import Contestant, Problem, Work

NETWORKS = {
    "normal": [64, 64, 32, 10],
    "longer": [64] + [256] * 29 + [10],
    "bigger": [64, 8192, 4096, 2048, 10],
    "mnist": [784, 64, 32, 10],
}
FLOPS_A_CALL = 2e9  # of many steps in one call: so many steps that the call itself does not count


def steps_a_call(problem: Problem) -> int:
    """How many steps go into one call of those that take many."""
    flops = 6 * problem.batch * sum(a * b for a, b in pairwise(problem.sizes))
    return max(5, min(1000, int(FLOPS_A_CALL / flops)))


def pycrograd(backend: str, device: str | None, mode: str, problem: Problem) -> Work:
    """As the README writes it: eagerly, captured, or captured with many steps in one call."""
    from pycrograd_core import Tensor, capture, nn, no_grad, optim, use_backend

    with use_backend(backend, device):
        layers: list[nn.Module] = []
        for weight in problem.weights:
            linear = nn.Linear(*weight.shape)
            with no_grad():
                linear.weight.assign(weight)
            layers += [linear, nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        optimiser = optim.SGD(model.parameters(), learning_rate=problem.learning_rate)
        x, labels = Tensor(problem.inputs), Tensor(problem.labels, dtype="int32")

    def step(x: Tensor, labels: Tensor) -> Tensor:
        loss = nn.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    def losses(found: Tensor) -> list[float]:
        return found.numpy()[:, 0].tolist()

    if mode == "eager":
        return Work(lambda: step(x, labels), losses)
    captured = capture(step)
    if mode == "captured":
        return Work(lambda: captured(x, labels), losses)
    rows = np.tile(np.arange(problem.batch), (steps_a_call(problem), 1))
    return Work(lambda: captured.scan(x, labels, rows=rows), losses, len(rows))


def numpy_by_hand(problem: Problem) -> Work:
    """What a careful user writes without any framework."""
    weights, x, batch = problem.weights, problem.inputs, problem.batch
    biases = [np.zeros((1, size), "f4") for size in problem.sizes[1:]]
    onehot = np.eye(problem.sizes[-1], dtype="f4")[problem.labels]
    rate, last = np.float32(problem.learning_rate), len(weights) - 1

    def step() -> Any:
        activations, h = [x], x
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            h = h @ weight
            h += bias
            if i < last:
                np.maximum(h, 0, out=h)
            activations.append(h)
        z = h - h.max(1, keepdims=True)
        p = np.exp(z)
        total = p.sum(1, keepdims=True)
        loss = ((np.log(total) - z) * onehot).sum() / batch
        p /= total
        p -= onehot
        p *= np.float32(1 / batch)
        d = p
        for i in range(last, -1, -1):
            a = activations[i]
            weight_gradient, bias_gradient = a.T @ d, d.sum(0, keepdims=True)
            if i:
                d = d @ weights[i].T
                d *= a > 0
            weight_gradient *= rate
            weights[i] -= weight_gradient
            bias_gradient *= rate
            biases[i] -= bias_gradient
        return loss

    return Work(step, lambda loss: [float(loss)])


def torch_eager(place: str, problem: Problem) -> Work:
    """PyTorch, eager, on the CPU or a GPU; there without TF32, which has float32's range and a third of its digits."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    layers: list[Any] = []
    for weight in problem.weights:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data = torch.from_numpy(weight.T.copy())
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(place)
    optimiser = torch.optim.SGD(model.parameters(), lr=problem.learning_rate)
    x, labels = (torch.from_numpy(each).to(place) for each in (problem.inputs, problem.labels))

    def step() -> Any:
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return Work(step, lambda loss: [loss.item()])


def jax_compiled(scan: bool, problem: Problem) -> Work:
    """JAX: the step compiled, or many in one compiled loop, each on rows that it takes by number."""
    import jax
    import jax.numpy as jnp

    batch, rate = problem.batch, problem.learning_rate
    layers = [(jnp.array(w), jnp.zeros((1, w.shape[1]), "f4")) for w in problem.weights]
    every_x = jnp.array(problem.inputs)
    every_hot = jnp.array(np.eye(problem.sizes[-1], dtype="f4")[problem.labels])

    def loss_of(layers: Any, x: Any, hot: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = layers[-1]
        return -(jax.nn.log_softmax(x @ weight + bias) * hot).sum() / batch

    def update(layers: Any, x: Any, hot: Any) -> Any:
        loss, gradients = jax.value_and_grad(loss_of)(layers, x, hot)
        return jax.tree.map(lambda value, gradient: value - rate * gradient, layers, gradients), loss

    def epoch(layers: Any, rows: Any) -> Any:
        return jax.lax.scan(lambda layers, chosen: update(layers, every_x[chosen], every_hot[chosen]), layers, rows)

    steps = steps_a_call(problem) if scan else 1
    compiled = partial(jax.jit, donate_argnums=0)(epoch if scan else update)
    inputs = [jnp.array(np.tile(np.arange(batch), (steps, 1)))] if scan else [every_x, every_hot]
    state = [layers]

    def call() -> Any:
        state[0], losses = compiled(state[0], *inputs)
        return losses

    def losses(found: Any) -> list[float]:
        jax.block_until_ready(state[0])
        return np.ravel(found).tolist()

    return Work(call, losses, steps)


def built_in(backends: list[str], devices: Mapping[str, str | None]) -> dict[str, Contestant]:
    """Contestants in the order of the table: PyTorch and JAX where they are installed, PyTorch on a GPU too."""
    found: dict[str, Contestant] = {
        f"{backend}, {mode}": partial(pycrograd, backend, devices.get(backend), mode)
        for backend in backends
        for mode in ("eager", "captured", "scan")
    }
    found["numpy by hand"] = numpy_by_hand
    if importlib.util.find_spec("torch"):
        import torch

        found["torch eager"] = partial(torch_eager, "cpu")
        if torch.cuda.is_available():
            found["torch cuda eager"] = partial(torch_eager, "cuda")
    if importlib.util.find_spec("jax"):
        found["jax jit"] = partial(jax_compiled, False)
        found["jax scan"] = partial(jax_compiled, True)
    return found
