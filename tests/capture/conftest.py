"""What the tests of the passes share: reading a program's structure, and running it one instruction after another."""

import numpy as np
import pytest

from pycrograd_core import define_op
from pycrograd_core.capture.program import Region, check
from pycrograd_core.op import TABLE, undefine


@pytest.fixture
def define():
    """`define_op`, for ops that are gone after the test."""
    before = set(TABLE)
    yield define_op
    for name in TABLE.keys() - before:
        undefine(name)


@pytest.fixture
def compiling(backend, monkeypatch):
    """The backend, as one that compiles exactly these derived ops; of None, those that it overrides."""

    def chosen(names):
        monkeypatch.setattr(backend, "compiled_ops", None if names is None else frozenset(names.split()))
        return backend

    return chosen


@pytest.fixture
def structure():
    """A program's body as text: for each instruction "v0 = op(x0, c0, name=param)", for a region (kind, body, outputs).

    Constants are told by what they hold, if that is a number.
    """

    def read(program):
        check(program)
        names = program.names()
        for value, constant in program.constants.items():
            if isinstance(constant.content, float):
                names[value] = f"{constant.content:g}"

        def line(step):
            if isinstance(step, Region):
                return (step.kind, [line(inner) for inner in step.body], [names[value] for value in step.outputs])
            given = [names[value] for value in step.inputs] + [f"{k}={v}" for k, v in step.params.items()]
            return f"{names[step.output]} = {step.op.name}({', '.join(given)})"

        return [line(step) for step in program.body]

    return read


@pytest.fixture
def results():
    """What a program returns and what it writes, as arrays: each of its instructions run by the backend's kernel."""

    def run(program, arguments):
        matrix = program.matrix
        known = dict(program.states)
        for value, array in zip(program.arguments, arguments, strict=True):
            assert array.shape == value.shape
            known[value] = matrix.from_host(np.ascontiguousarray(array, value.dtype), *value.shape, value.dtype)
        for value, draw in program.feeds.items():
            known[value] = matrix.from_feed(draw, *value.shape, value.dtype)
        for value, constant in program.constants.items():
            make = matrix.from_host if isinstance(constant.content, bytes) else matrix.full
            given = (constant.content, *value.shape) if make == matrix.from_host else (*value.shape, constant.content)
            known[value] = make(*given, value.dtype)
        for instruction in program.instructions:
            inputs = [known[value] for value in instruction.inputs]
            known[instruction.output] = matrix.kernels[instruction.op](*inputs, **instruction.params)
        return [np.array(known[value].to_host()).reshape(value.shape) for value in program.results]

    return run


@pytest.fixture
def same_bits():
    """Whether arrays hold the same bits, where any nan is a nan."""

    def bits(array):
        return np.where(np.isnan(array), np.nan, array).astype(array.dtype).tobytes()

    def compare(found, expected):
        pairs = list(zip(found, expected, strict=True))
        return all((a.dtype, a.shape, bits(a)) == (b.dtype, b.shape, bits(b)) for a, b in pairs)

    return compare
