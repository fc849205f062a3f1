#!/usr/bin/env python3
"""Seconds for one training step (forward, cross-entropy, backward, SGD; float32), beside what one would pick instead.

    python benchmarks/training_step.py [--networks normal bigger] [--backends B …] [--batch 32] [--rounds 9] [--json]

Contestants: backends of Pycrograd (the default one, unless named), hand-written NumPy, and PyTorch in eager mode where
it is installed. All start from the same weights and data, and their first losses must agree before anything is timed.
Each runs in a process of its own; rounds are interleaved, so that a machine that slows down slows all of them down.
What counts are the ratios, each the median over rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

NETWORKS = {
    "normal": [64, 64, 32, 10],
    "longer": [64] + [256] * 29 + [10],
    "bigger": [64, 8192, 4096, 2048, 10],
    "mnist": [784, 64, 32, 10],
}
RATE = 0.01
WARM_UP = 0.2  # seconds at the start of each turn
Step = Callable[[], float]


def problem(sizes: list[int], batch: int) -> tuple[list[Any], Any, Any]:
    """Weights (in × out), inputs and labels, the same for every contestant."""
    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype("f4") for a, b in pairwise(sizes)]
    return weights, rng.random((batch, sizes[0])).astype("f4"), rng.integers(0, sizes[-1], batch)


def pycrograd_step(backend: str, sizes: list[int], batch: int) -> Step:
    """As the README writes it."""
    from pycrograd_core import Tensor, nn, no_grad, optim, use_backend

    weights, x_host, labels_host = problem(sizes, batch)
    with use_backend(backend):
        layers: list[nn.Module] = []
        for weight in weights:
            linear = nn.Linear(*weight.shape)
            with no_grad():
                linear.weight.assign(weight)
            layers += [linear, nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        optimiser = optim.SGD(model.parameters(), learning_rate=RATE)
        x, labels = Tensor(x_host), Tensor(labels_host, dtype="int32")

    def step() -> float:
        loss = nn.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def numpy_step(sizes: list[int], batch: int) -> Step:
    """What a careful user writes without any framework."""
    weights, x, labels = problem(sizes, batch)
    biases = [np.zeros((1, size), "f4") for size in sizes[1:]]
    onehot = np.eye(sizes[-1], dtype="f4")[labels]
    rate, last = np.float32(RATE), len(weights) - 1

    def step() -> float:
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
        return float(loss)

    return step


def torch_step(sizes: list[int], batch: int) -> Step:
    """PyTorch, eager."""
    import torch

    weights, x_host, labels_host = problem(sizes, batch)
    layers: list[Any] = []
    for weight in weights:
        layer = torch.nn.Linear(*weight.shape)
        layer.weight.data = torch.from_numpy(weight.T.copy())
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    x, labels = torch.from_numpy(x_host), torch.from_numpy(labels_host)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def contestants(backends: list[str]) -> dict[str, tuple[Callable[..., Step], tuple[Any, ...]]]:
    """Who takes part, in the order of the table."""
    from pycrograd_core.plugins import default_backend

    found: dict[str, tuple[Callable[..., Step], tuple[Any, ...]]] = {
        f"pycrograd {name}": (pycrograd_step, (name,)) for name in backends or [default_backend().backend]
    }
    found["numpy by hand"] = (numpy_step, ())
    if importlib.util.find_spec("torch"):
        found["torch eager"] = (torch_step, ())
    return found


def work(make: Callable[..., Step], args: tuple[Any, ...], sizes: list[int], batch: int, pipe: Any) -> None:
    """A contestant's process: first losses, then as many steps as it is asked for, until it is asked for none.

    A turn begins with steps that are not timed: the caches hold another contestant's data, and its threads still spin.
    """
    step = make(*args, sizes, batch)
    pipe.send([step() for _ in range(3)])
    while repeats := pipe.recv():
        warm = time.perf_counter() + WARM_UP
        step()
        while time.perf_counter() < warm:
            step()
        start = time.perf_counter()
        for _ in range(repeats):
            step()
        pipe.send((time.perf_counter() - start) / repeats)


def measure(network: str, batch: int, rounds: int, backends: list[str]) -> dict[str, dict[str, float]]:
    """Median seconds per step of every contestant, and its ratio to each peer, round by round."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, (make, args) in contestants(backends).items():
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(make, args, NETWORKS[network], batch, theirs), daemon=True)
        process.start()
        pipes[name] = ours
        processes.append(process)
    losses = {name: pipe.recv() for name, pipe in pipes.items()}
    expected = losses["numpy by hand"]
    for name, found in losses.items():
        if not all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(found, expected, strict=True)):
            sys.exit(f"{name} is wrong on {network}: its first losses are {found}, not {expected}")
    repeats = {}
    for name, pipe in pipes.items():
        pipe.send(1)
        repeats[name] = max(3, min(2000, int(0.5 / pipe.recv())))
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(repeats[name])
            seconds[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    for process in processes:
        process.join()
    return {
        name: {
            "seconds": statistics.median(own),
            **{
                f"vs {peer}": statistics.median(theirs / mine for mine, theirs in zip(own, seconds[peer], strict=True))
                for peer in ("numpy by hand", "torch eager")
                if peer in seconds
            },
        }
        for name, own in seconds.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["normal", "bigger"])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--backends", nargs="+", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {n: measure(n, options.batch, options.rounds, options.backends) for n in options.networks}
    if options.json:
        print(json.dumps(results))
        return
    for network, rows in results.items():
        print(f"\n{network}, batch {options.batch}: {' - '.join(map(str, NETWORKS[network][:4]))} …")
        for name, row in rows.items():
            ratios = "".join(
                f"   {value:6.2f}× the speed of {key[3:]}" for key, value in row.items() if key[:3] == "vs "
            )
            print(f"  {name:<20}{row['seconds'] * 1e6:>12,.0f} µs{ratios}")


if __name__ == "__main__":
    main()
