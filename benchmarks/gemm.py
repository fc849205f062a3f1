#!/usr/bin/env python3
"""Rates of matrix products in float32 (GFLOP/s) on an OpenCL device, beside NumPy and PyTorch in the same run.

    python benchmarks/gemm.py [--device D] [--products NAME …] [--batch 32] [--rounds 9] [--json]

Squares, and what a wide layer of a network asks for with a small batch: forward, the gradient of its input, and the
update of its weights (for OpenCL one product that is added to the weights as it is made; for the others a product and
what it takes to subtract it). `layer` is the three together. PyTorch runs where it is installed: on the GPU if the
OpenCL device is one (TF32 off), else on the CPU. Every result is checked first, against NumPy in float64. Rounds are
interleaved, so that a machine that slows down slows down all of them; what counts are the ratios, each the median over
rounds. On a CPU the device's own peak is measured too: multiply-adds that never leave its registers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from pycrograd_opencl.devices import choose  # noqa: TID251  its generator is what is measured
from pycrograd_opencl.gemm import Product, generate  # noqa: TID251  its generator is what is measured
from pycrograd_opencl.runtime import Runtime, runtime_of  # noqa: TID251  its generator is what is measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 0.01  # of the update
WARM_UP = 0.1  # seconds at the start of each turn
TURN = 0.3  # seconds that a turn is to take
CHECKED = 32  # rows and columns that are compared


@dataclass
class Contestant:
    """A product as one library computes it: a call that returns when it is done, and its result on the host."""

    call: Callable[[], None]
    result: Callable[[], NDArray[Any]]


def products(batch: int, gpu: bool) -> dict[str, Product]:
    """What is measured, by name."""
    squares = (1024, 2048, 4096) if gpu else (1024, 2048)
    return {
        **{f"{extent}³": Product(extent, extent, extent) for extent in squares},
        "forward": Product(batch, 4096, 8192),
        "input gradient": Product(batch, 8192, 4096, transpose_b=True),
        "update": Product(8192, 4096, batch, transpose_a=True, store=f"c[row * COLS + col] -= (real){RATE} * value;"),
    }


def operands(product: Product) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Random a, b and, for an update, weights."""
    random = np.random.default_rng(0)
    p = product
    a = random.standard_normal((p.inner, p.rows) if p.transpose_a else (p.rows, p.inner), np.float32)
    b = random.standard_normal((p.cols, p.inner) if p.transpose_b else (p.inner, p.cols), np.float32)
    return a, b, random.standard_normal((p.rows, p.cols), np.float32)


def in_opencl(product: Product, runtime: Runtime) -> Contestant:
    """The generated kernel, with tuned parameters if there are any."""
    buffers = [runtime.buffer(host.nbytes) for host in operands(product)]
    for buffer, host in zip(buffers, operands(product), strict=True):
        cl.enqueue_copy(runtime.queue, buffer, host)
    launch = generate(product, runtime.device)
    kernel = runtime.kernel(launch.source, launch.name)
    kernel.set_args(*buffers)

    def call() -> None:
        cl.enqueue_nd_range_kernel(runtime.queue, kernel, launch.global_size, launch.local_size)
        runtime.queue.finish()

    def result() -> NDArray[Any]:
        host = np.empty((product.rows, product.cols), np.float32)
        cl.enqueue_copy(runtime.queue, host, buffers[2])
        return host

    return Contestant(call, result)


def in_numpy(product: Product) -> Contestant:
    """NumPy's product into memory that is there, and for an update two passes."""
    a, b, c = operands(product)
    a, b = (a.T if product.transpose_a else a), (b.T if product.transpose_b else b)
    made = np.empty_like(c)

    def multiply() -> None:
        np.dot(a, b, out=made)

    def update() -> None:
        np.dot(a, b, out=made)
        np.multiply(made, np.float32(RATE), out=made)
        np.subtract(c, made, out=c)

    return Contestant(update, lambda: c) if updates(product) else Contestant(multiply, lambda: made)


def in_torch(product: Product, device: str) -> Contestant | None:
    """PyTorch's product, where it is installed and has the device."""
    try:
        import torch
    except ImportError:
        return None
    if device == "cuda" and not torch.cuda.is_available():
        return None
    torch.backends.cuda.matmul.allow_tf32 = False
    a, b, c = (torch.from_numpy(host).to(device) for host in operands(product))
    a, b = (a.T if product.transpose_a else a), (b.T if product.transpose_b else b)
    made = torch.empty_like(c)
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)

    def call() -> None:
        if updates(product):
            c.addmm_(a, b, alpha=-RATE)
        else:
            torch.mm(a, b, out=made)
        wait()

    return Contestant(call, lambda: (c if updates(product) else made).cpu().numpy())


def updates(product: Product) -> bool:
    """Whether the product is subtracted from weights."""
    return product.store != Product(1, 1, 1).store


def check(name: str, contestant: str, product: Product, found: NDArray[Any]) -> None:
    """Exit unless some rows and columns, from the first to the last, are those of NumPy in float64."""
    a, b, c = operands(product)
    a, b = (a.T if product.transpose_a else a), (b.T if product.transpose_b else b)
    rows, cols = (np.unique(np.linspace(0, n - 1, CHECKED).astype(int)) for n in (product.rows, product.cols))
    for some, others in ((rows, slice(None)), (slice(None), cols)):
        value = a[some].astype(np.float64) @ b[:, others].astype(np.float64)
        right = c[some][:, others] - RATE * value if updates(product) else value
        error = np.abs(found[some][:, others] - right).max()
        bound = 1e-6 * (8 + (np.abs(a[some]) @ np.abs(b[:, others])).max())
        if not error <= bound:
            sys.exit(f"{contestant} is wrong on {name}: off by {error:.3g}, where {bound:.3g} is allowed")


def measure(name: str, product: Product, runtime: Runtime, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant, round by round."""
    gpu = not runtime.device.is_cpu
    contestants = {"opencl": in_opencl(product, runtime), "numpy": in_numpy(product)}
    if torch := in_torch(product, "cuda" if gpu else "cpu"):
        contestants["torch"] = torch
    for contestant, own in contestants.items():
        own.call()
        check(name, contestant, product, own.result())
    seconds: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    for _ in range(rounds):
        for contestant, own in contestants.items():
            seconds[contestant].append(turn(own.call))
    return seconds


def turn(call: Callable[[], None]) -> float:
    """Seconds of a call: of as many as fit into a turn, after some that warm up what another contestant left cold."""
    warm, count = time.perf_counter() + WARM_UP, 0
    start = time.perf_counter()
    while time.perf_counter() < warm or not count:
        call()
        count += 1
    repeats = max(1, int(TURN * count / (time.perf_counter() - start)))
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def peak(runtime: Runtime) -> float:
    """The most floating-point operations a second: twelve sums of vectors on each unit, which need no memory."""
    width, count, units = max(runtime.device.lanes, 1), 1_000_000, runtime.device.units
    span = f"float{width}" if width > 1 else "float"
    sums = range(12)
    source = f"""__kernel void peak(__global float* to, const float from) {{
      {" ".join(f"{span} c{n} = from * {n};" for n in sums)} const {span} m = from;
      for (int k = 0; k < {count}; k++) {{ {" ".join(f"c{n} = fma(c{n}, m, m);" for n in sums)} }}
      const {span} all = {" + ".join(f"c{n}" for n in sums)};
      {f"vstore{width}(all, get_global_id(0), to)" if width > 1 else "to[get_global_id(0)] = all"}; }}"""
    kernel = runtime.kernel(source, "peak")
    to = runtime.buffer(64 * units)  # which a kernel does not keep alive
    kernel.set_args(to, np.float32(0.5))

    def call() -> None:
        cl.enqueue_nd_range_kernel(runtime.queue, kernel, (units,), (1,))
        runtime.queue.finish()

    seconds = min(turn(call) for _ in range(5))
    to.release()
    return 2.0 * len(sums) * width * count * units / seconds


def summary(seconds: dict[str, list[float]], flops: int) -> dict[str, Any]:
    """Of each contestant: the median seconds, the rate, and the median of its speed relative to each other."""
    return {
        name: {
            "seconds": statistics.median(own),
            "gflops": flops / statistics.median(own) / 1e9,
            **{
                f"vs {other}": statistics.median(theirs / mine for mine, theirs in zip(own, all_, strict=True))
                for other, all_ in seconds.items()
                if other != name
            },
        }
        for name, own in seconds.items()
    }


def together(parts: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Seconds of several products, one after the other, round by round."""
    return {name: [sum(times) for times in zip(*(part[name] for part in parts), strict=True)] for name in parts[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="number, name or vendor; see `pycrograd backends`")
    parser.add_argument("--products", nargs="+", help="only these")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runtime = runtime_of(choose(options.device))
    wanted = products(options.batch, not runtime.device.is_cpu)
    if unknown := set(options.products or ()) - wanted.keys():
        parser.error(f"no such product: {', '.join(sorted(unknown))}; there are: {', '.join(wanted)}")
    wanted = {name: product for name, product in wanted.items() if name in (options.products or wanted)}
    measured = {name: measure(name, product, runtime, options.rounds) for name, product in wanted.items()}
    rows = {name: summary(seconds, wanted[name].flops) for name, seconds in measured.items()}
    layer = [name for name in ("forward", "input gradient", "update") if name in wanted]
    if len(layer) == 3:
        flops = sum(wanted[name].flops for name in layer)
        rows["layer"] = summary(together([measured[name] for name in layer]), flops)
    report: dict[str, Any] = {"device": runtime.device.label, "batch": options.batch, "products": rows}
    if runtime.device.is_cpu:
        report["peak"] = peak(runtime) / 1e9
    print(json.dumps(report, ensure_ascii=False)) if options.json else show(report)


def show(report: dict[str, Any]) -> None:
    """A line for each product and contestant."""
    print(f"{report['device']}, batch {report['batch']}")
    if "peak" in report:
        print(f"multiply-adds in registers: {report['peak']:.0f} GFLOP/s")
    for product, row in report["products"].items():
        for name, own in row.items():
            ratios = "".join(f"   {key} {value:.2f}×" for key, value in own.items() if key.startswith("vs "))
            print(f"  {product:<16}{name:<8}{own['seconds'] * 1e3:>9.2f} ms{own['gflops']:>8.0f} GFLOP/s{ratios}")


if __name__ == "__main__":
    main()
