"""Inputs for ops: their own samples, and the same samples with other extents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pycrograd_core.op import Mismatch, Op
from pycrograd_core.ops.samples import Indices, Sample
from pycrograd_core.random import RandomStream

# Extents at and beside what kernels are cut into: vectors of 4, 8 and 16 lanes, tiles of 16, 32 and 64, long rows.
EXTENTS: tuple[tuple[int, ...], ...] = (
    (1, 7), (7, 1), (5, 8), (15, 17, 16), (16, 16), (31, 33, 5), (64, 3, 65), (3, 129, 2), (130, 67, 9),
)  # fmt: skip


def resized(op: Op, extents: Sequence[int]) -> Iterator[Sample]:
    """An op's samples with other extents in place of theirs: equal ones stay equal, extents of 1 stay 1.

    A sample whose parameters speak of its extents (as those of `reshape` do) does not fit any more, and is left out.
    """
    for sample in op.samples:
        own = sorted({extent for x in sample.inputs for extent in _extents(x) if extent > 1})
        mapping = {extent: extents[i % len(extents)] for i, extent in enumerate(own)} | {0: 0, 1: 1}
        changed = Sample(tuple(_mapped(x, mapping) for x in sample.inputs), sample.params)
        if _fits(op, changed):
            yield changed


def _extents(x: Any) -> tuple[int, ...]:
    return (x.count, x.bound) if isinstance(x, Indices) else (x.rows, x.cols)


def _mapped(x: Any, mapping: dict[int, int]) -> Any:
    if isinstance(x, Indices):
        return replace(x, count=mapping[x.count], bound=mapping[x.bound])
    return replace(x, rows=mapping[x.rows], cols=mapping[x.cols])


class _Shape:
    """What a shape rule needs of an input."""

    def __init__(self, x: Any) -> None:
        self.shape: tuple[int, int] = (x.count, 1) if isinstance(x, Indices) else (x.rows, x.cols)
        self.rows, self.cols = self.shape
        self.dtype = "int32" if isinstance(x, Indices) else "float32"


def _fits(op: Op, sample: Sample) -> bool:
    if op.shape is None:
        return True
    inputs = [_Shape(x) for x in sample.inputs]
    try:
        op.shape(*inputs, **sample.params)
    except Mismatch:
        return False
    bounds = [x.bound for x in sample.inputs if isinstance(x, Indices)]
    return op.index_bound is None or all(bound <= op.index_bound(*inputs, **sample.params) for bound in bounds)


def described(sample: Sample) -> str:
    """A sample as a person would write the call: `3×4, 4×2, transpose_a=True`."""
    shapes = ["×".join(map(str, _Shape(x).shape)) for x in sample.inputs]
    return ", ".join([*shapes, *(f"{name}={value!r}" for name, value in sample.params.items())])


def drawn(op: Op, sample: Sample) -> list[Any]:
    """The arrays of a sample: float64, each number also a float32; int32 for indices. The same at each call."""
    return sample.draw(RandomStream(0, "conformance", op.name, described(sample)))
