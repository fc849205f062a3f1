"""The search: from the table's parameters to better ones, one change at a time, for as long as there is time.

A change is kept if the kernel is right and clearly faster. What is faster is not certain on a machine that does other
things, so the least of several times counts, and a new best must beat the old one measured again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from pycrograd_core.errors import BackendError
from pycrograd_opencl.gemm.choice import Parameters, default, fitted, kind, local_memory
from pycrograd_opencl.gemm.panels import Panels
from pycrograd_opencl.gemm.product import Product
from pycrograd_opencl.gemm.tiles import Tiles
from pycrograd_opencl.runtime import Runtime

from .trial import Trial, passes

CLEARLY = 0.97  # of the time of the one before
REGISTERS = ((6, 2), (4, 3), (5, 2), (3, 4), (4, 2), (8, 1), (12, 1), (14, 1), (8, 2), (8, 3), (12, 2), (14, 2))


@dataclass(frozen=True)
class Found:
    """What a search found for a product: parameters that pass the grid, and seconds before, after and of NumPy."""

    product: Product
    parameters: Parameters
    before: float
    after: float
    numpy: float
    tried: int
    interrupted: bool = False

    @property
    def better(self) -> bool:
        """Whether there is anything to keep."""
        return self.after < self.before


def search(product: Product, runtime: Runtime, seconds: float) -> Found:
    """The best parameters for a product that are found in so many seconds, by which it has tried the default at least.

    Ctrl-C ends the search early, with what it has.
    """
    deadline, device = time.perf_counter() + seconds, runtime.device
    trial = Trial(product, runtime)
    start = fitted(default(kind(product), product.dtype, device), product, device)
    launch = start.launch(product)
    kernel = trial.kernel(launch)
    before = trial.seconds(kernel, launch)
    better: list[tuple[float, Parameters]] = [(before, start)]
    known, interrupted = {start}, False
    try:
        _climb(trial, better, known, deadline)
    except KeyboardInterrupt:
        interrupted = True
    while len(better) > 1 and not passes(better[-1][1], product, runtime):
        better.pop()
    after, parameters = better[-1]
    if parameters != start:  # side by side, once more
        last = parameters.launch(product)
        again = trial.kernel(last)
        pairs = [(trial.seconds(kernel, launch), trial.seconds(again, last)) for _ in range(2)]
        before, after = (min(times) for times in zip(*pairs, strict=True))
    if after >= before:  # it only seemed so
        parameters, after = start, before
    return Found(product, parameters, before, after, trial.numpy(), len(known), interrupted)


def _climb(trial: Trial, better: list[tuple[float, Parameters]], known: set[Parameters], deadline: float) -> None:
    """Append better and better parameters, until there is no time or no change left that helps."""
    order = random.Random(trial.product.shape)
    moved = True
    while moved:
        moved = False
        changes = [change for change in neighbours(better[-1][1], trial) if change not in known]
        order.shuffle(changes)
        for change in changes:
            if time.perf_counter() > deadline:
                return
            known.add(change)
            taken = _measured(trial, change, better[-1][0])
            if taken is not None and taken < CLEARLY * better[-1][0]:
                better.append((taken, change))
                moved = True
                break


def _measured(trial: Trial, parameters: Parameters, best: float) -> float | None:
    """Seconds of a kernel that is right; None for one that is not, or that the device refuses."""
    launch = parameters.launch(trial.product)
    try:
        taken = trial.seconds(trial.kernel(launch), launch, best)
        return taken if taken < CLEARLY * best and trial.right(launch) else None
    except BackendError:  # too many registers, too long a source: not for this device
        return None


def neighbours(parameters: Parameters, trial: Trial) -> Iterator[Parameters]:
    """Parameters that differ in one thing and fit the device and the product."""
    product, device = trial.product, trial.runtime.device
    local = local_memory(device)
    changes = _of_panels(parameters) if isinstance(parameters, Panels) else _of_tiles(parameters)
    for change in changes:
        if not change.valid():
            continue
        if isinstance(change, Tiles) and (change.items > device.largest_group or change.items < 16):
            continue
        # kernels for any extents take the more memory, and the grid is for them
        if change.local_memory(product, fixed=False) <= local and fitted(change, product, device) == change:
            yield change


def _of_panels(own: Panels) -> Iterator[Panels]:
    for rows, vectors in REGISTERS:
        yield _whole(replace(own, tile_rows=rows, vectors=vectors))
    for lanes in (own.lanes * 2, own.lanes // 2):
        if 1 <= lanes <= 16:
            yield _whole(replace(own, lanes=lanes))
    for name in ("block_rows", "block_cols", "block_inner"):
        for extent in (getattr(own, name) * 2, getattr(own, name) // 2):
            yield _whole(replace(own, **{name: max(1, extent)}))
    for name in ("packed", "prefetched"):
        yield replace(own, **{name: not getattr(own, name)})
    yield _whole(replace(own, swapped=not own.swapped, block_rows=own.block_cols, block_cols=own.block_rows))
    for unrolled in (1, 2, 4, 8):
        yield replace(own, unrolled=unrolled)


def _whole(own: Panels) -> Panels:
    """Blocks of whole tiles."""
    rows = -(-own.block_rows // own.tile_rows) * own.tile_rows
    return replace(own, block_rows=rows, block_cols=-(-own.block_cols // own.tile_cols) * own.tile_cols)


def _of_tiles(own: Tiles) -> Iterator[Tiles]:
    for field in fields(own):
        if field.name != "buffers":
            for extent in (getattr(own, field.name) * 2, getattr(own, field.name) // 2):
                yield replace(own, **{field.name: max(1, extent)})
    yield replace(own, buffers=3 - own.buffers)
    # the same number of items or sums, of another form
    yield replace(own, group_rows=own.group_rows * 2, group_cols=max(1, own.group_cols // 2))
    yield replace(own, group_rows=max(1, own.group_rows // 2), group_cols=own.group_cols * 2)
    yield replace(own, item_rows=own.item_rows * 2, item_cols=max(1, own.item_cols // 2))
    yield replace(own, item_rows=max(1, own.item_rows // 2), item_cols=own.item_cols * 2)
