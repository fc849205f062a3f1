#!/usr/bin/env python3
"""What capture itself costs: tracing and compiling a step, and replaying very long programs.

    python benchmarks/capture_costs.py [--backend B] [--rounds 5] [--lengths 1000 10000 100000]

First the time to trace a training step and run it through the passes, and the backend's own compilation after that; it
is paid once for each program, and the trace twice. Then programs of n small elementwise ops, half of which cannot be
fused with the others: seconds to compile, and the cost of a replay for each op, which must not grow with n.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from contestants import NETWORKS

from pycrograd_core import Tensor, nn, optim, use_backend
from pycrograd_core.benchmark import Problem
from pycrograd_core.capture.compiled import compiled
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.trace import Traced, trace
from pycrograd_core.plugins import default_backend, get_backend


def traced_step(backend: str, sizes: list[int]) -> Callable[[], Traced]:
    """A function that traces a training step."""
    problem = Problem.drawn(sizes if len(sizes) > 5 else [sizes[0], sizes[-1]], 32)
    with use_backend(backend):
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        optimiser = optim.SGD(model.parameters(), learning_rate=0.01)
        x, labels = Tensor(problem.inputs), Tensor(problem.labels, dtype="int32")

    def step(x: Tensor, labels: Tensor) -> Tensor:
        loss = nn.cross_entropy(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    return lambda: trace(step, [x, labels], known=model.parameters())


def tracing(backend: str, rounds: int) -> None:
    """Milliseconds for each network, medians."""
    print(f"{'':<10}{'ops':>8}{'steps after passes':>22}{'trace':>12}{'passes':>12}{'backend':>12}")
    for network, sizes in NETWORKS.items():
        run = traced_step(backend, sizes)
        run()
        samples = []
        for _ in range(rounds):
            start = time.perf_counter()
            program = run().program
            traced = time.perf_counter()
            improved = optimise(program)
            optimised = time.perf_counter()
            program.matrix.compile(improved)
            samples.append((traced - start, optimised - traced, time.perf_counter() - optimised))
        medians = [statistics.median(part) * 1e3 for part in zip(*samples, strict=True)]
        times = "".join(f"{milliseconds:>9.1f} ms" for milliseconds in medians)
        print(f"{network:<10}{len(list(program.instructions)):>8}{len(improved.body):>22}{times}")


def long_programs(backend: str, lengths: list[int], rounds: int) -> None:
    """Microseconds an op."""
    kind = get_backend(backend)
    print(f"\n{'ops':>10}{'passes and compile':>22}{'replay':>18}")
    for length in lengths:
        with use_backend(kind):
            x = Tensor([[0.5] * 16] * 4)

        def chain(x: Tensor, length: int = length) -> Tensor:
            y = x
            for _ in range(length // 4):
                y = ((y * 0.5 + x).T.reshape(4, 16)).tanh()
            return y

        program = trace(chain, [x]).program
        start = time.perf_counter()
        run = compiled(program)
        built = time.perf_counter() - start
        ops = len(list(program.instructions))
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            run(x.value)
            seconds.append(time.perf_counter() - start)
        replay = statistics.median(seconds) / ops * 1e6
        print(f"{ops:>10,}{built / ops * 1e6:>16.1f} µs/op{replay:>12.2f} µs/op")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default=default_backend().backend)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = parser.parse_args()
    tracing(options.backend, options.rounds)
    long_programs(options.backend, options.lengths, options.rounds)


if __name__ == "__main__":
    main()
