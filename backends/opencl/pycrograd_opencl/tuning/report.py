"""The hook behind `pycrograd tune`: the products of a program, each searched in turn, and what is kept of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.program import Program
from pycrograd_core.errors import BackendError
from pycrograd_core.plugins import Tuned
from pycrograd_opencl.devices import choose
from pycrograd_opencl.gemm.choice import Parameters
from pycrograd_opencl.gemm.product import Product
from pycrograd_opencl.runtime import runtime_of
from pycrograd_opencl.storage import cache_folder

from .search import search
from .store import keep


def tune(program: Program, device: str | None, seconds: float, notice: Callable[[str], None]) -> list[Tuned]:
    """Search parameters for the products of a program on a device. What is found is stored as soon as it is found.

    Stops early, with what it has, at Ctrl-C. Raises BackendError if there is nowhere to store anything.
    """
    runtime = runtime_of(choose(device))
    if cache_folder() is None:
        raise BackendError("there is no folder for what tuning finds: unset PYCROGRAD_OPENCL_CACHE, or name a folder")
    found: list[Tuned] = []
    wanted = products(program)
    deadline = time.perf_counter() + seconds
    notice(f"{len(wanted)} products on {runtime.device.label}")
    for position, product in enumerate(wanted):
        left = max(0.0, deadline - time.perf_counter())
        share = product.flops / sum(each.flops for each in wanted[position:])
        result = search(product, runtime, left * share)
        if result.better and not keep(runtime.device, {product.shape: result.parameters}):
            raise BackendError(f"{cache_folder()} cannot be written: name another folder in PYCROGRAD_OPENCL_CACHE")
        rulers = {"numpy": result.numpy} if runtime.device.is_cpu else {}
        chosen = described(result.parameters)
        found.append(Tuned(product.shape, chosen, result.before, result.after, rulers, kept=result.better))
        notice(f"{product.shape}: {result.before / result.after:.2f}× after {result.tried} kernels")
        if result.interrupted:
            notice("interrupted: what was found until now is kept")
            break
    return found


def products(program: Program) -> list[Product]:
    """The different products of a program, the largest first."""
    found: dict[Product, None] = {}
    for instruction in optimise(program).instructions:
        if instruction.op.name in ("matmul", "linear"):
            first = instruction.inputs[0]
            a, b = (bool(instruction.params.get(name)) for name in ("transpose_a", "transpose_b"))
            inner = first.shape[0] if a else first.shape[1]
            found[Product(*instruction.output.shape, inner, a, b, instruction.output.dtype)] = None
    return sorted((p for p in found if p.flops), key=lambda product: -product.flops)


def described(parameters: Parameters) -> str:
    """Parameters in a line, without those that are off."""
    settings: Iterable[tuple[str, object]] = vars(parameters).items()
    named = (name if value is True else f"{name}={value}" for name, value in settings if value is not False)
    return f"{type(parameters).__name__.lower()} {' '.join(named)}"
