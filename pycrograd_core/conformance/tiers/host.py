"""Values come from the host and go back to it bit for bit, and share no memory that is written to."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core.conformance.check import Check, Evidence
from pycrograd_core.conformance.measure import same
from pycrograd_core.conformance.memory import OVERWRITES
from pycrograd_core.conformance.subject import Subject, read
from pycrograd_core.errors import ConformanceError
from pycrograd_core.matrix import FORMATS, Matrix
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.tensor import Tensor

SHARES = "host_memory"
WAITED = 20  # products that are waited for
FILLED = ((1, 1), (3, 5), (1, 33), (65, 1), (259, 257), (0, 3), (3, 0))
SHAPES = ((1, 1), (1, 7), (7, 1), (3, 5), (16, 16), (33, 31), (1, 4097), (4097, 1), (0, 3), (3, 0), (0, 0))


def numbers(shape: tuple[int, int], dtype: str) -> Any:
    """Numbers of which every bit counts."""
    drawn = np.random.default_rng(shape[0] * 5000 + shape[1])
    if dtype == INDEX_DTYPE:
        limits = np.iinfo(np.int32)
        return drawn.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return drawn.standard_normal(shape).astype(dtype)


def special(dtype: str) -> Any:
    """What a conversion on the way could lose."""
    if dtype == INDEX_DTYPE:
        return np.array([[0, 1, -1, 2**24 + 1, -(2**24) - 1, 2**31 - 1, -(2**31)]], dtype)
    limits = np.finfo(dtype)
    least = limits.smallest_subnormal
    return np.array(
        [
            [
                0.0,
                -0.0,
                np.inf,
                -np.inf,
                np.nan,
                limits.max,
                limits.min,
                limits.tiny,
                least,
                -least,
                1 + limits.eps,
                1 / 3,
            ]
        ],
        dtype,
    )


def _made(subject: Subject, values: Any, dtype: str) -> Matrix:
    return subject.matrix.from_host(np.ascontiguousarray(values), *values.shape, dtype)  # type: ignore[call-arg]


def _round_trip(subject: Subject, dtype: str) -> Evidence:
    arrays = [*(numbers(shape, dtype) for shape in SHAPES), special(dtype), special(dtype).T]
    for values in arrays:
        matrix = _made(subject, values, dtype)
        case = f"{values.shape[0]}×{values.shape[1]} {dtype}, to the host and back"
        if type(matrix) is not subject.matrix or (matrix.shape, matrix.dtype) != (values.shape, dtype):
            raise ConformanceError(f"{case}: from_host made a {type(matrix).__name__} {matrix.shape} {matrix.dtype}")
        same(read(matrix), values, case)
    return Evidence(len(arrays))


def _buffers(subject: Subject, dtype: str) -> Evidence:
    """`from_host` takes anything with the buffer protocol, also what is read-only."""
    values = numbers((3, 4), dtype)
    kinds: dict[str, Callable[[], Any]] = {
        "a NumPy array": lambda: values.copy(),
        "a read-only array": lambda: _read_only(values),
        "a memoryview": lambda: memoryview(values.copy()),
        "an array.array": lambda: array(FORMATS[dtype], values.reshape(-1).tolist()),
        "an array at an odd address": lambda: _misaligned(values),
    }
    for name, make in kinds.items():
        matrix = subject.matrix.from_host(make(), 3, 4, dtype)
        same(read(matrix), values, f"from_host of {name}")
    return Evidence(len(kinds))


def _read_only(values: Any) -> Any:
    frozen = values.copy()
    frozen.flags.writeable = False
    return frozen


def _misaligned(values: Any) -> Any:
    """As data are that lie somewhere in a file."""
    block = np.empty(values.nbytes + 1, "uint8")
    found = block[1:].view(values.dtype).reshape(values.shape)
    found[:] = values
    return found


def _layouts(subject: Subject, dtype: str) -> Evidence:
    """Host data that are not contiguous, not of this dtype or not of this byte order come in as what they say."""
    whole = numbers((24, 30), dtype)
    given = {
        "every second row": whole[::2],
        "every third column": whole[:, ::3],
        "reversed": whole[::-1, ::-1],
        "a transpose": whole.T,
        "Fortran order": np.asfortranarray(whole),
        "a block": whole[5:9, 7:20],
        "one row, many times": np.broadcast_to(whole[:1], (5, 30)),
        "the other byte order": whole.astype(whole.dtype.newbyteorder()),
        "nested lists": whole.tolist(),
    }
    for name, data in given.items():
        same(subject.host(subject.tensor(data, dtype)), np.asarray(data).astype(dtype), f"a tensor of {name}")
    return Evidence(len(given))


def _apart(subject: Subject, dtype: str) -> Evidence:
    """The caller may overwrite what it gave; a reader keeps what it read; `assign` copies."""
    for shape in ((33, 5), (600, 500)):
        rows, cols = shape
        values, others = numbers(shape, dtype), numbers((rows, cols + 1), dtype)[:, 1:]
        given = values.copy()
        matrix = subject.matrix.from_host(given, rows, cols, dtype)
        given[:] = 0
        same(read(matrix), values, "a matrix, after the buffer that it was made from was overwritten")
        tensor = subject.tensor(values, dtype)
        copied = tensor.numpy()
        copied[:] = 0
        same(subject.host(tensor), values, "a tensor, after what numpy() returned was overwritten")
        source = _made(subject, others, dtype)
        before = tensor.numpy()
        if matrix.assign(source) is not None:
            raise ConformanceError("assign() must return nothing")
        same(before, values, "what was read before assign()")
        same(read(matrix), others, "a matrix after assign()")
        for way, overwrite in OVERWRITES.items():
            overwrite(subject, source, values)
            same(read(matrix), others, f"a matrix, after the source of its assign() was {way}")
        matrix.assign(matrix)
        same(read(matrix), others, "a matrix that was assigned to itself")
    values = special(dtype)
    matrix = _made(subject, values[:, ::-1], dtype)
    matrix.assign(_made(subject, values, dtype))
    same(read(matrix), values, "special values that were assigned")
    return Evidence(3)


def _two(subject: Subject, dtype: str) -> Evidence:
    """Matrices of equal values are two, each with memory of its own."""
    values, others = np.full((3, 4), 2, dtype), numbers((3, 4), dtype)
    makers: dict[str, Callable[[], Matrix]] = {
        "from_host": lambda: _made(subject, values, dtype),
        "from_owned": lambda: subject.matrix.from_owned(values.copy(), 3, 4, dtype),
        "full": lambda: subject.matrix.full(3, 4, 2, dtype),
    }
    for name, make in makers.items():
        for way, overwrite in OVERWRITES.items():
            one, other = make(), make()
            overwrite(subject, one, others)
            same(read(other), values, f"one of two matrices by {name}, after the other was {way}")
            same(read(make()), values, f"a matrix by {name}, after an equal one was {way}")
    return Evidence(len(makers) * len(OVERWRITES))


def _shared(subject: Subject, dtype: str) -> Evidence:
    """What `to_host` gave shows what is written to the matrix afterwards, as the capability promises."""
    values, others = numbers((3, 4), dtype), numbers((3, 5), dtype)[:, 1:]
    matrix = _made(subject, values, dtype)
    seen = np.frombuffer(matrix.to_host(), dtype).reshape(3, 4)
    matrix.assign(_made(subject, others, dtype))
    subject.matrix.synchronize()
    same(seen, others, f"what to_host() gave, after assign(), with the capability {SHARES}")
    if dtype == INDEX_DTYPE:
        return Evidence(1)
    large, share = np.full((64, 64), 1.0), np.full((64, 64), 1 / 64)  # powers of two, so that the sums are exact
    out, x, y = (_made(subject, each.astype(dtype), dtype) for each in (large * 0, large, share))
    seen = np.frombuffer(out.to_host(), dtype).reshape(64, 64)
    for _ in range(WAITED):
        x = x.matmul(y)
    product = x.matmul(y, out=out)
    if product is not out:
        out.assign(product)
    subject.matrix.synchronize()
    same(seen, large.astype(dtype), f"what to_host() gave, after {WAITED + 1} products and synchronize()")
    return Evidence(2)


def _owned(subject: Subject, dtype: str) -> Evidence:
    """`from_owned` may keep the array's memory; it is a matrix like any other."""
    for shape in SHAPES:
        values = numbers(shape, dtype)
        matrix = subject.matrix.from_owned(values.copy(), *shape, dtype)
        same(read(matrix), values, f"from_owned of {shape[0]}×{shape[1]}")
        matrix.assign(_made(subject, values[::-1], dtype))
        same(read(matrix), values[::-1], f"from_owned of {shape[0]}×{shape[1]}, after assign()")
    return Evidence(len(SHAPES))


def _full(subject: Subject, dtype: str) -> Evidence:
    filled = [0, 1, -7, 2**24 + 1] if dtype == INDEX_DTYPE else [0.0, -0.0, 1.5, -1e30, 1 / 3, np.inf, -np.inf, np.nan]
    for value in filled:
        for rows, cols in FILLED:
            found = subject.matrix.full(rows, cols, value, dtype)
            same(subject.host(found), np.full((rows, cols), value, dtype), f"full({rows}, {cols}, {value}, {dtype!r})")
    return Evidence(len(filled) * len(FILLED))


def _finished(subject: Subject, dtype: str) -> Evidence:
    """What is read is what the work before it made, however much of it is still under way."""
    size, steps = 64, 20  # a power of two, so that the sums are exact
    x = subject.tensor(np.full((size, size), 1.0), dtype)
    share = subject.tensor(np.full((size, size), 1.0 / size), dtype)

    def worked() -> Tensor:
        y = x
        for _ in range(steps):
            y = y @ share + x
        return y

    expected, zeros = np.full((size, size), steps + 1.0, dtype), _made(subject, np.zeros((size, size), dtype), dtype)
    same(subject.host(worked()), expected, f"{steps} products and sums, read at once")
    same(subject.host(worked() @ share), expected, f"{steps} products and sums and a product, read at once")
    subject.matrix.synchronize()
    target = _made(subject, np.zeros((size, size), dtype), dtype)
    target.assign((worked() @ share).value)
    same(subject.host(target), expected, "a product, assigned and read at once")
    y = worked()
    product = y @ share
    y.value.assign(zeros)
    same(subject.host(product), expected, "a product, one of whose operands was overwritten at once")
    product = worked() @ share
    product.value.assign(zeros)
    same(subject.host(product), subject.host(zeros), "a product that was overwritten at once")
    return Evidence(5)


def checks(subject: Subject) -> Iterator[Check]:
    """Round trips, buffers, layouts and independence, in each dtype and with indices."""
    for dtype in (*subject.dtypes, INDEX_DTYPE):
        for name, run in (
            ("round trip", _round_trip), ("buffers", _buffers), ("layouts", _layouts), ("apart", _apart), ("two", _two),
            ("owned", _owned), ("full", _full),
        ):  # fmt: skip
            yield Check("host", f"{name} {dtype}", partial(run, subject, dtype), dtype=dtype)
        yield Check("host", f"shared {dtype}", partial(_shared, subject, dtype), dtype=dtype, needs=SHARES)
    for dtype in subject.dtypes:
        yield Check("host", f"finished {dtype}", partial(_finished, subject, dtype), dtype=dtype)
