"""Lowering derived ops."""

import numpy as np
import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import absorb_transposes, lower
from pycrograd_core.capture.program import check
from pycrograd_core.capture.recorder import trace_matrices
from pycrograd_core.ops.shapes import same
from pycrograd_core.random import RandomStream


def test_what_the_backend_compiles_stays(compiling):
    program = trace_matrices(lambda x: ops.softmax(ops.relu(x)), compiling("relu softmax"), (2, 3))
    assert lower(program) is program


def test_a_derived_op_becomes_its_parts(compiling, structure):
    program = trace_matrices(lambda x, w, b: ops.relu(ops.linear(x, w, b)), compiling("relu"), (2, 3), (3, 4), (1, 4))
    assert structure(lower(program)) == ["v0 = matmul(x0, x1)", "v1 = add(v0, x2)", "v2 = relu(v1)"]


def test_parts_that_are_derived_are_lowered_as_well(compiling, structure):
    program = trace_matrices(ops.minimum, compiling(""), (2, 3), (2, 3))
    assert structure(lower(program)) == [
        "v0 = multiply(x0, -1)",
        "v1 = multiply(x1, -1)",
        "v2 = maximum(v0, v1)",
        "v3 = multiply(v2, -1)",
    ]
    assert structure(lower(trace_matrices(ops.minimum, compiling("negative"), (2, 3), (2, 3)))) == [
        "v0 = negative(x0)",
        "v1 = negative(x1)",
        "v2 = maximum(v0, v1)",
        "v3 = negative(v2)",
    ]


def test_without_compiled_ops_those_that_the_backend_overrides_stay(compiling, define):
    backend = compiling(None)
    plain = define("twice", "A derived op that no backend has.", same, (None,), decomposition=lambda x: x + x)
    program = lower(trace_matrices(lambda x: plain(ops.exp(x)), backend, (2, 3)))
    assert [step.op for step in program.body] == [ops.exp, ops.add]
    overridden = next(op for op in ops.TABLE.values() if backend.kernels.overrides(op) and op.elementwise)
    kept = trace_matrices(lambda *x: overridden(*x, **overridden.samples[0].params), backend,
                          *[(each.rows, each.cols) for each in overridden.samples[0].inputs])  # fmt: skip
    assert lower(kept) is kept


def test_a_decomposition_may_return_its_input(compiling, define, structure):
    same_again = define("same_again", "x.", same, (None,), decomposition=lambda x: x)
    program = trace_matrices(lambda x: (ops.exp(same_again(x)), same_again(x)), compiling(""), (2, 3))
    lowered = absorb_transposes(lower(program))
    assert structure(lowered) == ["v0 = exp(x0)"]
    assert lowered.outputs[1] is lowered.arguments[0]


def test_a_decomposition_may_be_a_constant(compiling, define):
    ones = define("ones", "1.", same, (None,), decomposition=lambda x: x.new_full(*x.shape, 1.0))
    lowered = lower(trace_matrices(lambda x: ones(x), compiling(""), (2, 3)))
    check(lowered)
    assert lowered.body == ()
    assert lowered.constants[lowered.outputs[0]].content == 1.0


def test_a_pattern_is_repeated_with_values_of_its_own(compiling, structure):
    program = trace_matrices(lambda x, y: ops.negative(x) + ops.negative(y), compiling(""), (2, 3), (2, 3))
    assert structure(lower(program)) == ["v0 = multiply(x0, -1)", "v1 = multiply(x1, -1)", "v2 = add(v0, v1)"]


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (-0.5, 2.0)])
def test_parameters_and_shapes_make_another_pattern(compiling, low, high, results):
    def step(x, y):
        return ops.clip(x, low=low, high=high), ops.clip(x, low=0.0, high=high), ops.clip(y, low=low, high=high)

    program = trace_matrices(step, compiling(""), (2, 3), (1, 3))
    x, y = np.array([[-2.0, -0.7, 0.1], [0.4, 1.5, 3.0]]), np.array([[-3.0, 0.2, 9.0]])
    expected = [np.clip(x, low, high), np.clip(x, 0.0, high), np.clip(y, low, high)]
    for found, array in zip(results(lower(program), [x, y]), expected, strict=True):
        assert np.allclose(found, array, rtol=1e-6)


def test_parameters_without_a_hash(compiling, define, results):
    scaled = define("scaled", "x · Σ weights.", lambda x, weights: same(x), (None,),
                    decomposition=lambda x, weights: x * float(sum(weights)))  # fmt: skip
    program = trace_matrices(lambda x: scaled(x, weights=[1.0, 2.0]) + scaled(x, weights=[4.0]), compiling(""), (1, 2))
    assert results(lower(program), [np.array([[1.0, 10.0]])])[0].tolist() == [[7.0, 70.0]]


@pytest.mark.parametrize(
    "name", ["cross_entropy", "cross_entropy_gradient", "count_correct", "layer_norm", "gelu", "pad"]
)
def test_what_is_lowered_computes_the_same(compiling, name, results):
    op = ops.TABLE[name]
    sample = op.samples[0]
    matrix = compiling("")
    given = [np.asarray(each) for each in sample.draw(RandomStream(1))]
    shapes = [(*array.shape, "int32") if array.dtype == np.int32 else array.shape for array in given]
    program = trace_matrices(lambda *inputs: op(*inputs, **sample.params), matrix, *shapes)
    lowered = lower(program)
    check(lowered)
    assert all(step.op.decomposition is None for step in lowered.body)
    found, expected = results(lowered, given)[0], results(program, given)[0]
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-6)
