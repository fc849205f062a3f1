#!/usr/bin/env python3
"""Time and memory of backward through a chain of n nodes: both grow linearly, up to a million and beyond.

python benchmarks/long_chain.py [--lengths 10000 100000 1000000] [--backend B]
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time

from pycrograd_core import Tensor, use_backend
from pycrograd_core.plugins import default_backend


def chain(length: int, backend: str, pipe: multiprocessing.connection.Connection) -> None:
    """Build a chain, run backward, send the seconds of both and the growth of peak memory."""
    with use_backend(backend):
        x = Tensor(1.0, requires_grad=True)
        (x + 0.0).backward()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        y = x
        for _ in range(length):
            y = y + 0.0
        built = time.perf_counter()
        x.zero_grad()
        y.backward()
        done = time.perf_counter()
    if x.grad is None or x.grad.item() != 1.0:
        sys.exit("the gradient of the chain is wrong")
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    pipe.send((built - start, done - built, growth * (1 if sys.platform == "darwin" else 1024)))


def main() -> None:
    """A process for each length, so that peaks do not hide each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--backend", default=default_backend().backend)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    print(f"{'nodes':>10}{'forward':>16}{'backward':>16}{'peak memory':>18}")
    for length in options.lengths:
        ours, theirs = context.Pipe()
        process = context.Process(target=chain, args=(length, options.backend, theirs))
        process.start()
        forward, backward, memory = ours.recv()
        process.join()
        print(
            f"{length:>10,}{forward / length * 1e6:>11.2f} µs/node{backward / length * 1e6:>8.2f} µs/node"
            f"{memory / length:>11.0f} B/node"
        )


if __name__ == "__main__":
    main()
