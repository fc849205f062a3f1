"""Inputs for ops: their own samples and more like them, in other sizes, with operands that broadcast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from pycrograd_core.op import Mismatch, Op
from pycrograd_core.ops.samples import Choice, Indices, Sample, Uniform
from pycrograd_core.random import RandomStream

# Extents at and beside what kernels are cut into: vectors of 4, 8 and 16 lanes, tiles of 16, 32 and 64, long rows.
EXTENTS: tuple[tuple[int, ...], ...] = (
    (1, 7), (7, 1), (5, 8), (15, 17, 16), (16, 16), (31, 33, 5), (64, 3, 65), (3, 129, 2), (130, 67, 9), (2, 1030),
    (2053, 3, 5),
)  # fmt: skip
WIDE = ((2, 8209), (8209, 3, 2))
MANY = ((515, 257), (1, 65551), (65551, 1))  # more elements than 17 bits count; more columns and rows than 16 do
LARGEST = 2**18  # elements of an operand
NONE = ((0, 3), (3, 0), (0, 0))

_SMALL, _PAIR = Uniform(3, 4), (Uniform(3, 4), Uniform(3, 4))
FURTHER: dict[str, tuple[Sample, ...]] = {  # beside the samples that an op has of its own: other parameters
    "concat": (
        Sample((Uniform(3, 2), Uniform(3, 4), Uniform(3, 1)), {"axis": 1}),
        Sample(tuple(Uniform(rows, 3) for rows in (1, 2, 1, 5, 3)), {"axis": 0}),
        Sample((Uniform(2, 3),), {"axis": 0}),
    ),
    "broadcast_to": (
        Sample((Uniform(3, 1),), {"rows": 3, "cols": 4}),
        Sample((Uniform(2, 3),), {"rows": 2, "cols": 3}),
    ),
    "pad": tuple(
        Sample((Uniform(2, 3),), dict(zip(("above", "below", "left", "right"), sides, strict=True)))
        for sides in ((0, 0, 0, 0), (2, 0, 0, 0), (0, 3, 0, 0), (0, 0, 2, 0), (1, 1, 2, 2))
    ),
    "clip": (
        Sample((_SMALL,), {"low": 0.25, "high": 0.5}),
        Sample((_SMALL,), {"low": -9.0, "high": 9.0}),
        Sample((_SMALL,), {"low": -1.0, "high": -1.0}),
    ),
    "dropout": (Sample((_SMALL, Choice(3, 4)), {"rate": 0.5}), Sample((_SMALL, Choice(3, 4)), {"rate": 0.0})),
    "one_hot": (Sample((Indices(5, 3),), {"classes": 4}),),
    "layer_norm": (Sample((Uniform(3, 6), Uniform(1, 6, 0.5, 2), Uniform(1, 6)), {"epsilon": 0.5}),),
    "accumulate": (
        Sample(_PAIR, {"decay": 0.5, "weight": 1.0}),
        Sample(_PAIR, {"decay": 1.0, "weight": -2.0}),
    ),
    "adam_update": (
        Sample(
            (*_PAIR, Uniform(3, 4, 0.1, 1), Uniform(1, 1, 0.01, 0.1), Uniform(1, 1, 0.1, 1), Uniform(1, 1, 0.1, 1)),
            {"epsilon": 0.1},
        ),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Inputs and parameters of one call, and what a person calls it. An array that is there twice is one matrix."""

    text: str
    arrays: Sequence[Any]
    params: Mapping[str, Any]


def samples(op: Op) -> tuple[Sample, ...]:
    """An op's own samples, and further ones."""
    return (*op.samples, *FURTHER.get(op.name, ()))


def resized(op: Op, extents: Sequence[int]) -> Iterator[Sample]:
    """The samples with other extents in place of theirs: equal ones stay equal, extents of 1 stay 1.

    A sample whose parameters speak of its extents (as those of `reshape` do) does not fit any more, and is left out; so
    is one that becomes too large.
    """
    for sample in samples(op):
        own = sorted({extent for x in sample.inputs for extent in _extents(x) if extent > 1})
        mapping = {extent: extents[i % len(extents)] for i, extent in enumerate(own)} | {0: 0, 1: 1}
        changed = Sample(tuple(_mapped(x, mapping) for x in sample.inputs), sample.params)
        if max(prod(_Shape(x).shape) for x in changed.inputs) <= LARGEST and _fits(op, changed):
            yield changed


def broadcasting(op: Op) -> Iterator[Sample]:
    """Of an elementwise op, operands of all shapes that broadcast to 5×3 and to 4×4, each with each."""
    first = op.samples[0]
    if op.elementwise and len(first.inputs) in (2, 3):
        for rows, cols in ((5, 3), (4, 4)):
            for shapes in product(((rows, cols), (1, cols), (rows, 1), (1, 1)), repeat=len(first.inputs)):
                changed = Sample(tuple(map(_shaped, first.inputs, shapes)), first.params)
                if _fits(op, changed):
                    yield changed


def with_numbers(op: Op) -> Iterator[Sample]:
    """Of an op of several operands that broadcast, the first as it is, and the others 1×1."""
    first, *others = op.samples[0].inputs
    changed = Sample((first, *[_shaped(x, (1, 1)) for x in others]), op.samples[0].params)
    if others and _fits(op, changed):
        yield changed


def repeating(op: Op) -> Iterator[Case]:
    """One matrix as all the operands of an op."""
    squares: dict[str, Sample] = {}
    for sample in op.samples if not op.indices else ():
        changed = Sample(tuple([_shaped(x, (6, 6)) for x in sample.inputs]), sample.params)
        if len(sample.inputs) > 1 and _fits(op, changed):
            squares[described(changed)] = changed
    for text, square in squares.items():
        yield Case(f"{text}, all the same matrix", drawn(op, square)[:1] * len(square.inputs), square.params)


def _extents(x: Any) -> tuple[int, ...]:
    return (x.count, x.bound) if isinstance(x, Indices) else (x.rows, x.cols)


def _shaped(x: Any, shape: tuple[int, int]) -> Any:
    return replace(x, rows=shape[0], cols=shape[1])


def _mapped(x: Any, mapping: dict[int, int]) -> Any:
    if isinstance(x, Indices):
        return replace(x, count=mapping[x.count], bound=mapping[x.bound])
    return _shaped(x, (mapping[x.rows], mapping[x.cols]))


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
    indices = [x for x in sample.inputs if isinstance(x, Indices)]
    if op.index_bound is None or not indices:
        return True
    below = op.index_bound(*inputs, **sample.params)
    return all(x.bound <= below and (x.bound > 0 or x.count == 0) for x in indices)


def described(sample: Sample) -> str:
    """A sample as a person would write the call: `3×4, 4×2, transpose_a=True`."""
    shapes = ["×".join(map(str, _Shape(x).shape)) for x in sample.inputs]
    return ", ".join([*shapes, *(f"{name}={value!r}" for name, value in sample.params.items())])


def drawn(op: Op, sample: Sample, number: int = 0) -> list[Any]:
    """The arrays of a sample: float64, each number also a float32; int32 for indices. Others for another number."""
    return sample.draw(RandomStream(number, "conformance", op.name, described(sample)))


def case(op: Op, sample: Sample) -> Case:
    """A sample with its arrays."""
    return Case(described(sample), drawn(op, sample), sample.params)
