"""Transposes absorbed by products."""

from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pycrograd_core import ops
from pycrograd_core.capture.passes import absorb_transposes, dead_code
from pycrograd_core.capture.program import check
from pycrograd_core.capture.recorder import Recorder, trace_matrices


@pytest.mark.parametrize("flags", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("which", ["a", "b", "both"])
def test_a_product_reads_what_was_transposed(backend, structure, flags, which):
    a, b = flags
    turn_a, turn_b = which != "b", which != "a"
    shapes = ((5, 2) if a != turn_a else (2, 5)), ((3, 5) if b != turn_b else (5, 3))

    def step(x, y):
        left, right = ops.transpose(x) if turn_a else x, ops.transpose(y) if turn_b else y
        return ops.matmul(left, right, transpose_a=a, transpose_b=b)

    absorbed = dead_code(absorb_transposes(trace_matrices(step, backend, *shapes)))
    params = [f"transpose_{name}=True" for name, flag in (("a", a != turn_a), ("b", b != turn_b)) if flag]
    assert structure(absorbed) == [f"v0 = matmul({', '.join(['x0', 'x1', *params])})"]


def test_two_transposes_are_none_and_a_reshape_to_the_same_shape_is_none(backend, structure):
    def step(x):
        return ops.exp(ops.transpose(ops.transpose(ops.reshape(x, rows=2, cols=3)))), x.T.T.T

    program = dead_code(absorb_transposes(trace_matrices(step, backend, (2, 3))))
    assert structure(program) == ["v0 = exp(x0)", "v1 = transpose(x0)"]


def test_an_output_and_an_update_may_become_an_input(backend, structure):
    def step(x, w):
        w.assign(x.T.T)
        return ops.reshape(x, rows=2, cols=3), x.T.T

    program = dead_code(absorb_transposes(trace_matrices(step, backend, (2, 3), (2, 3))))
    assert structure(program) == []
    x, w = program.arguments
    assert program.outputs == (x, x)
    assert program.updates == {w: x}


def test_a_transpose_that_is_read_elsewhere_stays(backend, structure):
    def step(x, y):
        turned = ops.transpose(x)
        return ops.matmul(turned, y), ops.exp(turned)

    program = dead_code(absorb_transposes(trace_matrices(step, backend, (5, 2), (5, 3))))
    assert structure(program) == ["v0 = transpose(x0)", "v1 = matmul(x0, x1, transpose_a=True)", "v2 = exp(v0)"]


def test_where_there_is_nothing_to_absorb_the_program_is_left(backend):
    def step(x, y):
        return ops.exp(ops.transpose(x)), ops.reshape(x, rows=3, cols=2), ops.matmul(x, y, transpose_b=True)

    program = trace_matrices(step, backend, (2, 3), (2, 3))
    assert absorb_transposes(program) is program


def grown(backend, seed, steps):
    """Transposes, reshapes and products of small whole numbers, which sum to the same in whatever order."""
    choose = Random(seed).choice
    recorder = Recorder(backend)
    values = [recorder.argument(shape, "float32") for shape in ((3, 3), (1, 3), (3, 5), (5, 1), (5, 5))]
    small = set(values)  # at most 2 in size: no product of products of products
    for _ in range(steps):
        x = choose(values)
        kind = choose(["transpose", "transpose", "reshape", "matmul", "matmul"])
        if kind == "matmul":
            a, b = choose([False, True]), choose([False, True])
            inner = x.shape[0 if a else 1]
            y = choose([y for y in (*values, x.T) if inner in y.shape and (x in small or y in small)] or [None])
            if y is None or y.shape[1 if b else 0] != inner:
                continue
            values.append(ops.matmul(x, y, transpose_a=a, transpose_b=b))
        else:
            values.append(ops.transpose(x) if kind == "transpose" else ops.reshape(x, rows=x.rows, cols=x.cols))
            if x in small:
                small.add(values[-1])
    return recorder.program(values[-4:], [])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 12))
def test_the_same_products_are_summed(backend, seed, steps, results, same_bits):
    program = grown(backend, seed, steps)
    absorbed = absorb_transposes(program)
    check(absorbed)
    numbers = np.random.default_rng(seed)
    given = [numbers.integers(-2, 3, value.shape) for value in program.arguments]
    expected = results(program, given)
    assert all(np.abs(array).max(initial=0) < 2**24 for array in expected)
    assert same_bits(results(absorbed, given), expected)
    assert absorb_transposes(absorbed).signature() == absorbed.signature()
