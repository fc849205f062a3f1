"""Product regions: epilogues."""

from pycrograd_core import ops
from pycrograd_core.capture.passes import fuse_products
from pycrograd_core.capture.recorder import trace_matrices


def fused(backend, function, *shapes):
    return fuse_products(trace_matrices(function, backend, *shapes))


def test_a_chain_of_elementwise_ops_follows_its_product(backend, structure):
    def step(x, w, b, mask):
        return ops.multiply(mask, ops.relu(ops.matmul(x, w) + b)) * 2.0

    assert structure(fused(backend, step, (2, 3), (3, 4), (1, 4), (2, 4))) == [
        (
            "product",
            [
                "v0 = matmul(x0, x1)",
                "v1 = add(v0, x2)",
                "v2 = relu(v1)",
                "v3 = multiply(x3, v2)",
                "v4 = multiply(v3, 2)",
            ],
            ["v4"],
        )
    ]


def test_layers_are_a_region_each(backend, structure):
    def step(x, w, b):
        return ops.relu(ops.linear(ops.relu(ops.linear(x, w, b)), w, b))

    assert structure(fused(backend, step, (2, 3), (3, 3), (1, 3))) == [
        ("product", ["v0 = linear(x0, x1, x2)", "v1 = relu(v0)"], ["v1"]),
        ("product", ["v2 = linear(v1, x1, x2)", "v3 = relu(v2)"], ["v3"]),
    ]


def test_a_result_on_the_way_may_be_read_later(backend, structure):
    def step(x, w):
        z = ops.matmul(x, w)
        y = ops.tanh(z)
        return ops.sum(y), ops.exp(z)

    assert structure(fused(backend, step, (2, 3), (3, 4))) == [
        ("product", ["v0 = matmul(x0, x1)", "v1 = tanh(v0)"], ["v0", "v1"]),
        "v2 = sum(v1)",
        "v3 = exp(v0)",
    ]


def test_a_result_that_is_read_again_at_once_ends_the_chain(backend):
    def step(x, w):
        z = ops.matmul(x, w)
        return (z * 0.5) * ops.exp(z)

    program = trace_matrices(step, backend, (2, 3), (3, 4))
    assert fuse_products(program) is program


def test_other_shapes_end_the_chain(backend):
    def step(x, w, column):
        return ops.sum(ops.matmul(x, w), axis=1), ops.matmul(x, column) + ops.matmul(x, w)

    program = trace_matrices(step, backend, (2, 3), (3, 4), (3, 1))
    assert [step.kind for step in fuse_products(program).body if hasattr(step, "kind")] == ["product"]
    wider = trace_matrices(lambda x, column, y: ops.matmul(x, column) + y, backend, (2, 3), (3, 1), (2, 4))
    assert fuse_products(wider) is wider


def test_a_sum_of_two_products_follows_the_later_one(backend, structure):
    def step(x, w):
        return ops.matmul(x, w) + ops.matmul(w, x)

    assert structure(fused(backend, step, (3, 3), (3, 3))) == [
        "v0 = matmul(x0, x1)",
        ("product", ["v1 = matmul(x1, x0)", "v2 = add(v0, v1)"], ["v2"]),
    ]


def test_no_path_leaves_and_comes_back(backend):
    def step(x, w):
        z = ops.matmul(x, w)
        return z * ops.sum(z, axis=1)

    program = trace_matrices(step, backend, (2, 3), (3, 4))
    assert fuse_products(program) is program


def test_an_operand_that_is_made_between_comes_before_the_region(backend, structure):
    def step(x, w, y):
        z = ops.matmul(x, w)
        return z + ops.sum(y, axis=0)

    assert structure(fused(backend, step, (2, 3), (3, 4), (5, 4))) == [
        "v0 = sum(x2, axis=0)",
        ("product", ["v1 = matmul(x0, x1)", "v2 = add(v1, v0)"], ["v2"]),
    ]


def test_no_step_reads_an_earlier_result_of_its_own_region(backend, structure):
    def step(x, w):
        z = ops.matmul(x, w)
        return ops.exp(ops.tanh(z)) * z

    assert structure(fused(backend, step, (2, 3), (3, 4))) == [
        ("product", ["v0 = matmul(x0, x1)", "v1 = tanh(v0)", "v2 = exp(v1)"], ["v0", "v2"]),
        "v3 = multiply(v2, v0)",
    ]
