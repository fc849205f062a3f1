"""Elementwise regions."""

from pycrograd_core import ops
from pycrograd_core.capture.passes import fuse_elementwise
from pycrograd_core.capture.passes.fuse_elementwise import LONGEST
from pycrograd_core.capture.recorder import trace_matrices


def fused(backend, function, *shapes):
    return fuse_elementwise(trace_matrices(function, backend, *shapes))


def test_connected_ops_of_one_shape_are_one_region(backend, structure):
    def step(x, row, column):
        a = ops.exp(x)
        b = x * row
        return ops.sum(ops.matmul(a + b * column, row, transpose_b=True)), b

    assert structure(fused(backend, step, (2, 3), (1, 3), (2, 1))) == [
        (
            "elementwise",
            ["v0 = exp(x0)", "v1 = multiply(x0, x1)", "v2 = multiply(v1, x2)", "v3 = add(v0, v2)"],
            ["v1", "v3"],
        ),
        "v4 = matmul(v3, x1, transpose_b=True)",
        "v5 = sum(v4)",
    ]


def test_reductions_end_a_region(backend, structure):
    def step(x):
        y = ops.exp(x) * 2.0
        return ops.sum(y, axis=0), ops.max(y, axis=1), ops.sum(y), ops.matmul(y, y, transpose_b=True)

    assert structure(fused(backend, step, (2, 3))) == [
        (
            "elementwise",
            ["v0 = exp(x0)", "v1 = multiply(v0, 2)", "v2 = sum(v1, axis=0)", "v3 = max(v1, axis=1)", "v4 = sum(v1)"],
            ["v1", "v2", "v3", "v4"],
        ),
        "v5 = matmul(v1, v1, transpose_b=True)",
    ]


def test_what_reads_a_reduction_is_outside(backend, structure):
    def step(x):
        e = ops.exp(x)
        return ops.sqrt(e / ops.sum(e, axis=1))

    assert structure(fused(backend, step, (2, 3))) == [
        ("elementwise", ["v0 = exp(x0)", "v1 = sum(v0, axis=1)"], ["v0", "v1"]),
        ("elementwise", ["v2 = divide(v0, v1)", "v3 = sqrt(v2)"], ["v3"]),
    ]


def test_a_reduction_of_a_reduction_is_outside(backend, structure):
    def step(x):
        return ops.sum(ops.sum(ops.exp(x), axis=0), axis=1)

    assert structure(fused(backend, step, (2, 3))) == [
        ("elementwise", ["v0 = exp(x0)", "v1 = sum(v0, axis=0)"], ["v1"]),
        "v2 = sum(v1, axis=1)",
    ]


def test_other_shapes_and_unconnected_ops_are_other_regions(backend, structure):
    def step(x, column):
        return ops.exp(ops.tanh(x)), ops.sqrt(ops.exp(column)), ops.log(ops.exp(x))

    assert structure(fused(backend, step, (2, 3), (2, 1))) == [
        ("elementwise", ["v0 = tanh(x0)", "v1 = exp(v0)"], ["v1"]),
        ("elementwise", ["v2 = exp(x1)", "v3 = sqrt(v2)"], ["v3"]),
        ("elementwise", ["v4 = exp(x0)", "v5 = log(v4)"], ["v5"]),
    ]


def test_no_path_leaves_and_comes_back(backend, structure):
    def step(x, w):
        a = ops.exp(x)
        b = ops.tanh(a)
        return b + ops.matmul(a, w)

    assert structure(fused(backend, step, (2, 3), (3, 3))) == [
        ("elementwise", ["v0 = exp(x0)", "v1 = tanh(v0)"], ["v0", "v1"]),
        "v2 = matmul(v0, x1)",
        "v3 = add(v1, v2)",
    ]


def test_steps_between_come_before_or_after(backend, structure):
    def step(x, w):
        a = ops.exp(x)
        product = ops.matmul(w, x)
        return a + product, ops.transpose(product)

    assert structure(fused(backend, step, (2, 3), (2, 2))) == [
        "v0 = matmul(x1, x0)",
        ("elementwise", ["v1 = exp(x0)", "v2 = add(v1, v0)"], ["v2"]),
        "v3 = transpose(v0)",
    ]


def test_where_nothing_is_connected_the_program_is_left(backend):
    def step(x, w):
        return ops.exp(x), ops.exp(ops.matmul(x, w)), ops.sum(x)

    program = trace_matrices(step, backend, (2, 3), (3, 3))
    assert fuse_elementwise(program) is program


def test_a_long_chain_is_cut(backend):
    def step(x):
        for _ in range(3 * LONGEST):
            x = ops.tanh(x)
        return x

    lengths = [len(region.body) for region in fused(backend, step, (2, 3)).body]
    assert lengths == [LONGEST] * 3
