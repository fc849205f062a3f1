"""Common subexpressions."""

import math

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import common_subexpressions
from pycrograd_core.capture.program import Instruction
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.ops.shapes import same


def test_what_is_computed_twice_is_computed_once(backend, structure):
    def step(x, y):
        return ops.exp(x + y) * ops.exp(x + y), ops.sum(x, axis=0), ops.sum(x, axis=0), ops.sum(x, axis=1)

    program = common_subexpressions(trace_matrices(step, backend, (2, 3), (2, 3)))
    assert structure(program) == [
        "v0 = add(x0, x1)",
        "v1 = exp(v0)",
        "v2 = multiply(v1, v1)",
        "v3 = sum(x0, axis=0)",
        "v4 = sum(x0, axis=1)",
    ]
    assert program.outputs[1] is program.outputs[2]


def test_equal_constants_are_one(backend):
    recorder = Recorder(backend)
    x = recorder.argument((1, 1), "float32")
    twice = [recorder.kind.full(1, 1, 2.0, "float32") for _ in range(2)]
    other_shape = recorder.kind.full(1, 2, 2.0, "float32")
    program = common_subexpressions(recorder.program([*twice, x * other_shape], []))
    assert len(program.constants) == 2
    assert program.outputs[0] is program.outputs[1]


@pytest.mark.parametrize(("low", "again"), [(0.0, -0.0), (1, 1.0), (1.0, 2.0)])
def test_parameters_that_are_not_the_same_are_kept_apart(backend, low, again):
    program = trace_matrices(
        lambda x: (ops.clip(x, low=low, high=9.0), ops.clip(x, low=again, high=9.0)), backend, (2, 2)
    )
    assert common_subexpressions(program) is program


def test_constants_that_only_compare_equal_are_kept_apart(backend):
    recorder = Recorder(backend)
    x = recorder.argument((1, 1), "float32")
    numbers = [recorder.kind.full(1, 1, number, "float32") for number in (0.0, -0.0)]
    program = recorder.program([ops.divide(x, number) for number in numbers], [])
    assert common_subexpressions(program) is program
    signs = [math.copysign(1, constant.content) for constant in program.constants.values()]
    assert signs == [1, -1]


def test_operands_in_another_order_are_another_computation(backend):
    program = trace_matrices(lambda x, y: (x - y, y - x, ops.maximum(x, y), ops.maximum(y, x)), backend, (2, 2), (2, 2))
    assert common_subexpressions(program) is program


def test_parameters_without_a_hash_are_left_alone(backend, define):
    listed = define("listed", "A third party's op.", lambda x, axes: same(x), (None,))
    program = trace_matrices(ops.exp, backend, (2, 2))
    x = program.arguments[0]
    outputs = [type(x)((2, 2), "float32") for _ in range(2)]
    twice = [Instruction(listed, (x,), {"axes": [0, 1]}, output) for output in outputs]
    program = program.with_body(twice, outputs=tuple(outputs))
    assert common_subexpressions(program) is program


def test_a_state_read_before_and_after_its_update_is_two_values(backend, structure):
    def step(w, g):
        before = ops.exp(w)
        w.update(ops.add, (w, g), {})
        return before, ops.exp(w)

    program = trace_matrices(step, backend, (2, 2), (2, 2))
    assert common_subexpressions(program) is program


def test_an_update_follows_what_it_was_replaced_by(backend, structure):
    def step(w, v, g):
        w.update(ops.multiply, (g, g), {})
        v.update(ops.multiply, (g, g), {})

        return w * 2.0

    program = common_subexpressions(trace_matrices(step, backend, (2, 2), (2, 2), (2, 2)))
    assert structure(program) == ["v0 = multiply(x2, x2)", "v1 = multiply(v0, 2)"]
    assert set(program.updates.values()) == {program.body[0].output}
