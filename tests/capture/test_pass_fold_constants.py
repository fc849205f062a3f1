"""Constant folding."""

import struct

import numpy as np
import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import fold_constants
from pycrograd_core.capture.passes.fold_constants import MOST_ELEMENTS
from pycrograd_core.capture.program import Constant
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.errors import IndexRangeError


def constant(recorder, values, dtype="float32"):
    array = np.array(values, dtype)
    return recorder.kind.from_host(array, *array.shape, dtype)


def folded(backend, compute, *values):
    """What the one constant holds that a function of constants folds to."""
    recorder = Recorder(backend)
    program = fold_constants(recorder.program([compute(*[constant(recorder, each) for each in values])], []))
    assert program.body == ()
    content = program.constants[program.outputs[0]].content
    return content if isinstance(content, float) else list(np.frombuffer(content, "float32"))


def test_what_needs_only_constants_is_computed(backend, structure):
    def step(x):
        scale = x.new_full(1, 1, 4.0)
        return x * ops.sqrt(scale * scale), ops.sum(x.new_full(3, 5, 2.0))

    program = fold_constants(trace_matrices(step, backend, (2, 3)))
    assert structure(program) == ["v0 = multiply(x0, 4)"]
    assert program.constants[program.outputs[1]].content == 30.0


def test_results_that_differ_are_kept_as_elements(backend):
    assert folded(backend, lambda x: x * x, [[1.0, -2.0], [0.5, 3.0]]) == [1.0, 4.0, 0.25, 9.0]


@pytest.mark.parametrize("number", [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1 / 3, 1e-45])
def test_every_number_survives(backend, number, results, same_bits):
    recorder = Recorder(backend)
    x = constant(recorder, [[number, number]])
    program = recorder.program([ops.concat(x, x, axis=0), ops.reshape(x, rows=2, cols=1)], [])
    before = results(program, [])
    after = fold_constants(program)
    assert after.body == ()
    assert same_bits(results(after, []), before)
    held = [
        struct.pack("f", c.content) if isinstance(c.content, float) else c.content[:4] for c in after.constants.values()
    ]
    assert all(bits == struct.pack("f", number) or number != number for bits in held)


@pytest.mark.parametrize(("number", "kind"), [(2.5, float), (0.0, float), (-0.0, bytes), (float("nan"), bytes)])
def test_only_a_number_that_says_all_is_kept_as_one(backend, number, kind):
    recorder = Recorder(backend)
    x = constant(recorder, [[number, number]])
    program = fold_constants(recorder.program([ops.reshape(x, rows=2, cols=1)], []))
    assert type(program.constants[program.outputs[0]].content) is kind


def test_indices_are_folded(backend):
    recorder = Recorder(backend)
    table, rows = constant(recorder, [[1.0, 2.0], [3.0, 4.0]]), constant(recorder, [[1], [0], [1]], "int32")
    program = fold_constants(recorder.program([ops.take_rows(table, rows), ops.reshape(rows, rows=1, cols=3)], []))
    assert program.body == ()
    taken, reshaped = [program.constants[value].content for value in program.outputs]
    assert list(np.frombuffer(taken, "float32")) == [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]
    assert list(np.frombuffer(reshaped, "int32")) == [1, 0, 1]


def test_indices_out_of_range_are_refused_and_not_folded_to_something(backend):
    recorder = Recorder(backend)
    table, rows = constant(recorder, [[1.0, 2.0], [3.0, 4.0]]), constant(recorder, [[1], [0]], "int32")
    program = recorder.program([ops.take_rows(table, rows)], [])
    wrong = np.array([[1], [-1]], "int32").tobytes()  # a trace would refuse them
    constants = {v: Constant(wrong) if v.dtype == "int32" else c for v, c in program.constants.items()}
    program = program.with_body(program.body, constants=constants)
    with pytest.raises(IndexRangeError, match="take_rows"):
        fold_constants(program)


def test_large_results_and_what_is_not_constant_are_left(backend):
    large = trace_matrices(lambda x: x + ops.exp(x.new_full(MOST_ELEMENTS + 1, 1, 2.0)), backend, (1, 1))
    assert fold_constants(large) is large
    none = trace_matrices(lambda x: ops.exp(x) * 2.0, backend, (2, 3))
    assert fold_constants(none) is none
    limit = trace_matrices(lambda x: x + ops.exp(x.new_full(MOST_ELEMENTS, 1, 2.0)), backend, (1, 1))
    assert len(fold_constants(limit).body) == 1


def test_states_are_not_constants(backend):
    recorder = Recorder(backend)
    w = recorder.state(backend.full(1, 1, 2.0, "float32"))
    program = recorder.program([w * 3.0], [])
    assert fold_constants(program) is program
