#!/usr/bin/env python3
"""Seconds for one training step (forward, cross-entropy, backward, SGD; float32), beside what one would pick instead.

    python benchmarks/training_step.py [--networks normal bigger] [--backends B …] [--device D] [--batch 32]
        [--rounds 9] [--json]

Contestants: backends of Pycrograd (the default one, unless named), each eagerly, captured, and captured with many
steps in one call; hand-written NumPy; PyTorch in eager mode and JAX, compiled with one or many steps in a call, where
they are installed, PyTorch on a GPU too where it finds one. `--device` is the device of the first backend that is
named. All start from the same weights and data, and their first losses must agree before anything is
timed. Each runs in a process of its own; rounds are interleaved, so that a machine that slows down slows down all of
them. What counts are the ratios, each the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from contestants import NETWORKS, Work, contestants

WARM_UP = 0.2  # seconds at the start of each turn
TURN = 0.5  # seconds that a turn is to take
COMPARED = 3  # first losses


def work(make: Callable[..., Work], args: tuple[Any, ...], sizes: list[int], batch: int, pipe: Any) -> None:
    """A contestant's process: first losses, then as many calls as it is asked for, until it is asked for none.

    A turn begins with calls that are not timed: the caches hold another contestant's data, and its threads still spin.
    """
    own = make(*args, sizes, batch)
    losses: list[float] = []
    while len(losses) < COMPARED:
        losses += own.losses(own.call())
    pipe.send((losses[:COMPARED], own.steps))
    while repeats := pipe.recv():
        warm = time.perf_counter() + WARM_UP
        own.losses(own.call())
        while time.perf_counter() < warm:
            own.losses(own.call())
        start = time.perf_counter()
        for _ in range(repeats):
            last = own.call()
        own.losses(last)
        pipe.send((time.perf_counter() - start) / (repeats * own.steps))


def measure(
    network: str, batch: int, rounds: int, backends: list[str], device: str | None
) -> dict[str, dict[str, float]]:
    """Median seconds per step of every contestant, and the median over rounds of its speed relative to each other."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, (make, args) in contestants(backends, {backends[0]: device}).items():
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(make, args, NETWORKS[network], batch, theirs), daemon=True)
        process.start()
        pipes[name] = ours
        processes.append(process)
    first = {name: pipe.recv() for name, pipe in pipes.items()}
    expected, _ = first["numpy by hand"]
    for name, (found, _) in first.items():
        if not all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(found, expected, strict=True)):
            sys.exit(f"{name} is wrong on {network}: its first losses are {found}, not {expected}")
    repeats = {}
    for name, pipe in pipes.items():
        pipe.send(1)
        steps = first[name][1]
        repeats[name] = max(1 if steps > 1 else 3, min(2000, int(TURN / (pipe.recv() * steps))))
    seconds: dict[str, list[float]] = {name: [] for name in pipes}
    for _ in range(rounds):
        for name, pipe in pipes.items():
            pipe.send(repeats[name])
            seconds[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(0)
    for process in processes:
        process.join()
    peers = [name for name in seconds if not any(name.startswith(f"{backend}, ") for backend in backends)]
    return {
        name: {
            "seconds": statistics.median(own),
            **{
                f"vs {peer}": statistics.median(theirs / mine for mine, theirs in zip(own, seconds[peer], strict=True))
                for peer in peers
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
    parser.add_argument("--device")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.backends:
        from pycrograd_core.plugins import default_backend

        options.backends = [default_backend().backend]
    results = {n: measure(n, options.batch, options.rounds, options.backends, options.device) for n in options.networks}
    if options.json:
        print(json.dumps(results))
        return
    for network, rows in results.items():
        print(f"\n{network}, batch {options.batch}: {' - '.join(map(str, NETWORKS[network][:4]))} …")
        peers = [key[3:] for key in next(iter(rows.values())) if key.startswith("vs ")]
        print(f"  {'times the speed of':<32}{''.join(f'{peer:>15}' for peer in peers)}")
        for name, row in rows.items():
            ratios = "".join(f"{row[f'vs {peer}']:>15.2f}" for peer in peers)
            print(f"  {name:<20}{row['seconds'] * 1e6:>9,.0f} µs{ratios}")


if __name__ == "__main__":
    main()
