"""What kernels do to memory: a result is a value of its own, an operand is read as it is now, the rest is left alone.

Results are compared with those of the same call on matrices that nobody touches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import Matrix
from pycrograd_core.op import INDEX_DTYPE, Op
from pycrograd_core.ops import TABLE

from .calls import called
from .cases import FURTHER, Case, case, drawn, resized, samples, with_numbers
from .check import Evidence
from .measure import same, whole
from .subject import Subject

ALIKE = 1e-3  # far more than rounding, far less than another number makes
FEW = 2
HELD = 64  # results of one kernel that somebody keeps
GUARD = 64  # elements before and after a matrix
SIZES = ((5, 8), (15, 17, 16), (33, 17))

Overwrite = Callable[[Subject, Matrix, Any], None]


def _assigned(subject: Subject, target: Matrix, values: Any) -> None:
    target.assign(_matrix(subject, values, target.dtype))


def _written(subject: Subject, target: Matrix, values: Any) -> None:
    """As an update does it: by a kernel that may write where its result is to go."""
    if target.dtype == INDEX_DTYPE:
        return _assigned(subject, target, values)
    addends = _matrix(subject, values, target.dtype), _matrix(subject, np.zeros((1, 1)), target.dtype)
    result = subject.matrix.kernels[TABLE["add"]](*addends, out=target)
    if result is not target:
        target.assign(result)
    return None


OVERWRITES: dict[str, Overwrite] = {"assigned to": _assigned, "written to through out": _written}


def _matrix(subject: Subject, values: Any, dtype: str) -> Matrix:
    return subject.tensor(values, dtype).value


def _expected(subject: Subject, op: Op, arrays: Sequence[Any], each: Case, dtype: str) -> Any:
    """The values of a call on matrices that are used for nothing else."""
    inputs = subject.matrices(op, arrays, dtype)
    return subject.host(called(subject, op, inputs, each.params, f"{op.name}({each.text})"))


def _alike(subject: Subject, found: Matrix, expected: Any, text: str) -> None:
    if found.dtype == INDEX_DTYPE:
        same(subject.host(found), expected, text)
    else:
        whole(subject.host(found), expected.astype("float64"), ALIKE, text)


# A result is a value of its own -----------------------------------------------------------------------------------


def independent(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Overwriting an operand leaves the result alone, and overwriting the result leaves the operands alone."""
    count = 0
    for each in _tempting(subject, op, dtype):
        expected = _expected(subject, op, each.arrays, each, dtype)
        for written, (way, overwrite) in product(range(len(each.arrays) + 1), OVERWRITES.items()):
            inputs = subject.matrices(op, each.arrays, dtype)
            result = called(subject, op, inputs, each.params, f"{op.name}({each.text})")
            target = inputs[written] if written < len(inputs) else result
            name = f"input {written}" if written < len(inputs) else "the result"
            overwrite(subject, target, _other(target))
            text = f"{op.name}({each.text}), after {name} was {way}"
            if target is not result:
                _alike(subject, result, expected, text)
            for position, (x, array) in enumerate(zip(inputs, each.arrays, strict=True)):
                if x is not target:
                    same(subject.host(x), array.astype(x.dtype), f"input {position} of {text}")
        count += 1
    return Evidence(count)


def _other(target: Matrix) -> Any:
    return np.full(target.shape, 0, INDEX_DTYPE) if target.dtype == INDEX_DTYPE else np.full(target.shape, 9.0)


def _tempting(subject: Subject, op: Op, dtype: str) -> Iterator[Case]:
    """Samples, vectors, and whatever gives back an operand: where a kernel could think that it need not copy."""
    for sample in (*samples(op), *resized(op, (1, 7)), *resized(op, (7, 1))):
        yield case(op, sample)
    x = np.arange(12.0).reshape(3, 4)
    yield from {
        "reshape": [Case("3×4 to 3×4", [x], {"rows": 3, "cols": 4})],
        "slice": [Case("all of 3×4", [x], {"row_start": 0, "row_stop": 3, "col_start": 0, "col_stop": 4})],
        "take_rows": [Case("all rows of 3×4", [x, np.array([[0], [1], [2]], "int32")], {})],
        "add_rows": [Case("nothing to 3×4", [x, np.empty((0, 1), "int32"), np.empty((0, 4))], {})],
    }.get(op.name, ())
    if op.elementwise:
        yield from _unaltering(subject, op, dtype)


def _unaltering(subject: Subject, op: Op, dtype: str) -> Iterator[Case]:
    """Numbers that give back an operand, as x · 1 does: for each operand, or several of them, the first few."""
    for sample in (op.samples[0], *with_numbers(op), *FURTHER.get(op.name, ())):
        shapes: list[Any] = [(x.rows, x.cols) for x in sample.inputs]  # type: ignore[union-attr]
        given_back: Counter[tuple[bool, ...]] = Counter()
        for numbers in product((1.5, 1.0, 0.0, 2.0**100, -(2.0**100)), repeat=min(3, len(shapes))):
            arrays = [np.full(*each) for each in zip(shapes, (*numbers, *[1.0] * len(shapes)), strict=False)]
            text = f"{', '.join(f'{number:g}' for number in numbers)} {dict(sample.params) or ''}".rstrip()
            each = Case(text, arrays, sample.params)
            found = _expected(subject, op, arrays, each, dtype)
            equal = tuple([found.shape == array.shape and bool((found == array).all()) for array in arrays])
            given_back[equal] += 1
            if any(equal) and given_back[equal] <= FEW:
                yield each


def held(subject: Subject, op: Op, dtype: str) -> Evidence:
    """Results are kept by whoever wants them, however many they are; the same call twice gives two."""
    sample, text = op.samples[0], f"{op.name}({case(op, op.samples[0]).text})"
    results = []
    for number in range(HELD):
        inputs = subject.matrices(op, drawn(op, sample, number), dtype)
        result = called(subject, op, inputs, sample.params, text)
        again = called(subject, op, inputs, sample.params, text)
        values = subject.host(result)
        _assigned(subject, again, _other(again))
        results.append((result, values))
    for number, (result, values) in enumerate(results):
        same(subject.host(result), values, f"{text}: the result of call {number}, after {2 * HELD - number} more calls")
    return Evidence(HELD)


# An operand is read as it is now ----------------------------------------------------------------------------------


def current(subject: Subject, op: Op, dtype: str) -> Evidence:
    """What was written to an operand, or to `out`, since it was last used is what counts."""
    count = 0
    for sample in op.samples:
        each, others = case(op, sample), drawn(op, sample, 1)
        for written, (way, overwrite) in product(range(len(others)), OVERWRITES.items()):
            inputs = subject.matrices(op, each.arrays, dtype)
            text = f"{op.name}({each.text})"
            subject.host(called(subject, op, inputs, each.params, text))
            overwrite(subject, inputs[written], others[written])
            changed = [
                other if i == written else array
                for i, (array, other) in enumerate(zip(each.arrays, others, strict=True))
            ]
            expected = _expected(subject, op, changed, each, dtype)
            found = called(subject, op, inputs, each.params, text)
            _alike(subject, found, expected, f"{text} once more, after input {written} was {way}")
            count += 1
    return Evidence(count)


# The rest is left alone -------------------------------------------------------------------------------------------


def bounded(subject: Subject, op: Op, dtype: str) -> Evidence:
    """What lies before and behind a matrix in the host's memory is neither read nor written: nan there stays there."""
    count = 0
    for sample in (*samples(op), *(each for extents in SIZES for each in resized(op, extents))):
        each = case(op, sample)
        text = f"{op.name}({each.text}) between other data"
        expected = _expected(subject, op, each.arrays, each, dtype)
        kinds = [INDEX_DTYPE if x.dtype == np.int32 else dtype for x in each.arrays]
        inputs, blocks = zip(*map(_guarded, [subject] * len(kinds), each.arrays, kinds), strict=True)
        found = called(subject, op, inputs, each.params, text)
        _alike(subject, found, expected, text)
        if subject.takes_out(op) and found.dtype == dtype:
            out, block = _guarded(subject, np.full(expected.shape, 0.5), dtype)
            _alike(subject, called(subject, op, inputs, each.params, text, out=out), expected, f"{text}, with out")
            blocks = (*blocks, block)
        for block in blocks:
            _intact(block, text)
        count += 1
    return Evidence(count)


def _guarded(subject: Subject, values: Any, dtype: str) -> tuple[Matrix, Any]:
    """A matrix whose memory, if it is the host's, is in the middle of a block."""
    block = np.full(values.size + 2 * GUARD, 0 if dtype == INDEX_DTYPE else np.nan, dtype)
    inner = block[GUARD : GUARD + values.size].reshape(values.shape)
    inner[:] = values
    rows, cols = values.shape
    return subject.matrix.from_owned(inner, rows, cols, dtype), block


def _intact(block: Any, text: str) -> None:
    around = np.concatenate([block[:GUARD], block[-GUARD:]])
    if not (np.isnan(around) if block.dtype.kind == "f" else around == 0).all():
        raise ConformanceError(f"{text}: elements before or behind a matrix were written to")


CHECKS: dict[str, Callable[[Subject, Op, str], Evidence]] = {
    "apart": independent, "held": held, "current": current, "bounds": bounded,
}  # fmt: skip
