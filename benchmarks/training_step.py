#!/usr/bin/env python3
"""Seconds for one training step (forward, cross-entropy, backward, SGD; float32), beside what one would pick instead.

    python benchmarks/training_step.py [--networks normal bigger] [--backends B …] [--device D] [--batch 32]
        [--rounds 9] [--json]

Contestants: backends of Pycrograd (the default one, unless named), each eagerly, captured, and captured with many
steps in one call; hand-written NumPy; PyTorch in eager mode and JAX, compiled with one or many steps in a call, where
they are installed, PyTorch on a GPU too where it finds one; and what installed plugins bring. `--device` is the device
of the first backend that is named. All start from the same weights and data, and their first losses must be those of
the same steps in float64: whoever's are not is told of and not timed, as is one that fails, and then the exit status
is 1. Each runs in a process of its own; rounds are interleaved, so that a machine that slows down slows down all of
them. What counts are the ratios, each the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from pickle import PicklingError
from typing import Any

from contestants import NETWORKS, built_in

from pycrograd_core.benchmark import Contestant, Problem, contestants, objection, reference_losses

WARM_UP = 0.2  # seconds at the start of each turn
TURN = 0.5  # seconds that a turn is to take


def work(contestant: Contestant, network: str, batch: int, expected: list[float], pipe: Any) -> None:
    """A contestant's process: what is wrong with it, else as many calls as it is asked for, until it is asked for none.

    A turn begins with calls that are not timed: the caches hold another contestant's data, and its threads still spin.
    """
    try:
        own = contestant(Problem.drawn(NETWORKS[network], batch))
        wrong = objection(own, expected)
    except Exception as failure:  # noqa: BLE001  a plugin's raises anything
        pipe.send((f"failed: {type(failure).__name__}: {failure}", 0))
        return
    if wrong is not None:
        pipe.send((f"wrong: {wrong}", 0))
        return
    pipe.send((None, own.steps))
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


def started(contestant: Contestant, network: str, batch: int, expected: list[float]) -> Any:
    """The pipe to a contestant's process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(contestant, network, batch, expected, theirs), daemon=True)
    try:
        process.start()
    except (AttributeError, PicklingError, TypeError) as failure:
        theirs.send((f"failed: it must be a function of a module, or a partial of one: {failure}", 0))
    theirs.close()
    return ours


def heard(pipe: Any) -> tuple[str | None, int]:
    """What is wrong with a contestant, if anything, and how many steps its calls make."""
    try:
        found: tuple[str | None, int] = pipe.recv()
    except EOFError:
        return "failed: its process has ended", 0
    return found


def measure(network: str, batch: int, rounds: int, backends: list[str], device: str | None) -> dict[str, Any]:
    """Median seconds per step of every contestant, and the median over rounds of its speed relative to each other.

    Of one that is wrong or fails, `error` says why.
    """
    expected = reference_losses(Problem.drawn(NETWORKS[network], batch))
    taking_part = contestants(built_in(backends, {backends[0]: device}))
    for note in taking_part.notes:
        print(note, file=sys.stderr)
    pipes = {name: started(contestant, network, batch, expected) for name, contestant in taking_part.items()}
    first = {name: heard(pipe) for name, pipe in pipes.items()}
    right = {name: pipes[name] for name, (error, _) in first.items() if error is None}
    repeats = {}
    for name, pipe in right.items():
        pipe.send(1)
        steps = first[name][1]
        repeats[name] = max(1 if steps > 1 else 3, min(2000, int(TURN / (pipe.recv() * steps))))
    seconds: dict[str, list[float]] = {name: [] for name in right}
    for _ in range(rounds):
        for name, pipe in right.items():
            pipe.send(repeats[name])
            seconds[name].append(pipe.recv())
    for pipe in right.values():
        pipe.send(0)
    for process in multiprocessing.active_children():
        process.join()
    return {
        name: compared(seconds, name, backends) if error is None else {"error": error}
        for name, (error, _) in first.items()
    }


def compared(seconds: dict[str, list[float]], name: str, backends: list[str]) -> dict[str, float]:
    """A contestant's median, and how many times as fast as each peer it is."""
    own = seconds[name]
    peers = [peer for peer in seconds if not any(peer.startswith(f"{backend}, ") for backend in backends)]
    ratios = {
        f"vs {peer}": statistics.median(theirs / mine for mine, theirs in zip(own, seconds[peer], strict=True))
        for peer in peers
    }
    return {"seconds": statistics.median(own), **ratios}


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
    else:
        for network, rows in results.items():
            show(network, options.batch, rows)
    sys.exit(any("error" in row for rows in results.values() for row in rows.values()))


def show(network: str, batch: int, rows: dict[str, dict[str, Any]]) -> None:
    """Print a table."""
    print(f"\n{network}, batch {batch}: {' - '.join(map(str, NETWORKS[network][:4]))} …")
    peers = [name for name in rows if any(f"vs {name}" in row for row in rows.values())]
    print(f"  {'times the speed of':<32}{''.join(f'{peer:>15}' for peer in peers)}")
    for name, row in rows.items():
        if "error" in row:
            print(f"  {name:<20} {row['error']}")
            continue
        ratios = "".join(f"{row[f'vs {peer}']:>15.2f}" for peer in peers)
        print(f"  {name:<20}{row['seconds'] * 1e6:>9,.0f} µs{ratios}")


if __name__ == "__main__":
    main()
