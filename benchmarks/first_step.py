#!/usr/bin/env python3
"""Seconds until the first captured step of a network is done, with empty caches and again with what they then hold.

    python benchmarks/first_step.py [--networks normal longer] [--backend opencl] [--device D] [--json]

Each first step runs in a process of its own, which has made the model and uploaded the data before the clock starts:
what counts is tracing, the passes, compiling, and the launch. Drivers are made to cache in a folder that is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contestants import NETWORKS, pycrograd

from pycrograd_core.benchmark import Problem

CACHES = ("PYCROGRAD_CACHE", "POCL_CACHE_DIR", "CUDA_CACHE_PATH", "XDG_CACHE_HOME")


def first_step(network: str, backend: str, device: str | None) -> float:
    """In this process. A product is made beforehand, so that the backend's own kernels are built."""
    work = pycrograd(backend, device, "captured", Problem.drawn(NETWORKS[network], 32))
    start = time.perf_counter()
    work.losses(work.call())
    return time.perf_counter() - start


def measured(network: str, backend: str, device: str | None) -> dict[str, float]:
    """The first step in a new process, without and with caches."""
    with tempfile.TemporaryDirectory() as folder:
        moved = {name: str(Path(folder, name.lower())) for name in CACHES}
        found = {}
        for state in ("cold", "cached"):
            for path in moved.values():
                Path(path).mkdir(exist_ok=True)
            asked = [sys.executable, __file__, "--child", network, "--backend", backend]
            asked += ["--device", device] if device else []
            done = subprocess.run(asked, env={**os.environ, **moved}, check=True, capture_output=True, text=True)
            found[state] = float(done.stdout.split()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["normal", "longer"])
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--device")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(first_step(options.child, options.backend, options.device))
        return
    results = {network: measured(network, options.backend, options.device) for network in options.networks}
    if options.json:
        print(json.dumps(results))
        return
    for network, found in results.items():
        print(f"{network:<10} cold {found['cold']:.2f} s   from the cache {found['cached']:.2f} s")


if __name__ == "__main__":
    main()
