"""Update regions: the gradient of a parameter and its update."""

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import fuse_elementwise, fuse_updates
from pycrograd_core.capture.recorder import trace_matrices

SGD = {"decay": 0.9, "weight": 1.0}
PRODUCT = (4, 2), (4, 3), (2, 3), (1, 1)  # x, g, w, rate


def fused(backend, function, *shapes):
    return fuse_updates(trace_matrices(function, backend, *shapes))


def product(x, g):
    return ops.matmul(x, g, transpose_a=True)


def test_the_product_and_the_update_meet_where_the_update_was(backend, structure):
    def step(x, g, w, rate):
        gradient = product(x, g)
        back = ops.matmul(g, w, transpose_b=True)
        w.update(ops.sgd_update, (w, gradient, rate), {})
        return back

    assert structure(fused(backend, step, *PRODUCT)) == [
        "v0 = matmul(x1, x2, transpose_b=True)",
        ("update", ["v1 = matmul(x0, x1, transpose_a=True)", "v2 = sgd_update(x2, v1, x3)"], ["v2"]),
    ]


def test_a_bias_sums_its_gradient(backend, structure):
    def step(g, b, rate):
        b.update(ops.sgd_update, (b, ops.sum(g, axis=0), rate), {})
        return ops.exp(g)

    assert structure(fused(backend, step, (4, 3), (1, 3), (1, 1))) == [
        ("update", ["v0 = sum(x0, axis=0)", "v1 = sgd_update(x1, v0, x2)"], ["v1"]),
        "v2 = exp(x0)",
    ]


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_and_weight_decay_are_inside(backend, structure, nesterov):
    def step(x, g, w, rate, velocity):
        gradient = ops.accumulate(product(x, g), w, decay=1.0, weight=0.1)
        velocity.update(ops.accumulate, (velocity, gradient), SGD)
        ahead = ops.accumulate(gradient, velocity, decay=1.0, weight=0.9) if nesterov else velocity
        w.update(ops.sgd_update, (w, ahead, rate), {})
        return ops.exp(x)

    region = structure(fused(backend, step, *PRODUCT, (2, 3)))[0]
    ahead = ["v3 = accumulate(v1, v2, decay=1.0, weight=0.9)"] if nesterov else []
    last = len(ahead) + 3
    assert region == (
        "update",
        [
            "v0 = matmul(x0, x1, transpose_a=True)",
            "v1 = accumulate(v0, x2, decay=1.0, weight=0.1)",
            "v2 = accumulate(x4, v1, decay=0.9, weight=1.0)",
            *ahead,
            f"v{last} = sgd_update(x2, v{last - 1}, x3)",
        ],
        ["v2", f"v{last}"],
    )


def test_decoupled_weight_decay_writes_the_weight_twice_in_one_region(backend, structure):
    def step(x, g, w, rate):
        w.update(ops.sgd_update, (w, w * 0.1, rate), {})
        w.update(ops.sgd_update, (w, product(x, g), rate), {})
        return ops.exp(x)

    assert structure(fused(backend, step, *PRODUCT))[0] == (
        "update",
        [
            "v0 = multiply(x2, 0.1)",
            "v1 = sgd_update(x2, v0, x3)",
            "v2 = matmul(x0, x1, transpose_a=True)",
            "v3 = sgd_update(v1, v2, x3)",
        ],
        ["v3"],
    )


def test_adam_is_one_region_for_a_weight(backend, structure):
    def step(x, g, w, rate, mean, square, share):
        gradient = product(x, g)
        share.update(ops.accumulate, (share, rate), SGD)
        mean.update(ops.accumulate, (mean, gradient), SGD)
        square.update(ops.accumulate, (square, gradient * gradient), SGD)
        w.update(ops.adam_update, (w, mean, square, rate, share, share), {"epsilon": 1e-8})
        return ops.exp(x)

    before, region, _ = structure(fused(backend, step, *PRODUCT, (2, 3), (2, 3), (1, 1)))
    assert before == "v0 = accumulate(x6, x3, decay=0.9, weight=1.0)"
    assert region[0] == "update"
    assert [line.split(" = ")[1].split("(")[0] for line in region[1]] == [
        "matmul", "accumulate", "multiply", "accumulate", "adam_update",
    ]  # fmt: skip
    assert len(region[2]) == 3


def test_a_gradient_that_is_returned_stays_outside(backend):
    def step(x, g, w, rate):
        gradient = product(x, g)
        w.update(ops.sgd_update, (w, gradient, rate), {})
        return gradient

    program = trace_matrices(step, backend, *PRODUCT)
    assert fuse_updates(program) is program


def test_a_gradient_that_something_else_reads_stays_outside(backend, structure):
    def step(x, g, w, rate):
        gradient = product(x, g)
        norm = ops.sum(gradient * gradient)
        w.update(ops.sgd_update, (w, gradient * norm, rate), {})
        return norm

    body = structure(fused(backend, step, *PRODUCT))
    assert body[:3] == ["v0 = matmul(x0, x1, transpose_a=True)", "v1 = multiply(v0, v0)", "v2 = sum(v1)"]
    assert body[3] == ("update", ["v3 = multiply(v0, v2)", "v4 = sgd_update(x2, v3, x3)"], ["v4"])


def test_there_is_one_product_in_a_region(backend, structure):
    def step(x, g, w, rate):
        w.update(ops.sgd_update, (w, product(x, g) + product(x, ops.exp(g)), rate), {})
        return ops.exp(x)

    body = structure(fused(backend, step, *PRODUCT))
    assert body[0] == "v0 = matmul(x0, x1, transpose_a=True)"
    assert body[2][1] == [
        "v2 = matmul(x0, v1, transpose_a=True)",
        "v3 = add(v0, v2)",
        "v4 = sgd_update(x2, v3, x3)",
    ]


def test_a_new_value_that_is_read_before_the_last_member_is_kept_out(backend, structure):
    def step(x, g, w, rate, velocity):
        velocity.update(ops.accumulate, (velocity, product(x, g)), SGD)
        norm = ops.sum(velocity)  # leaves the region, and comes back into the update of w
        w.update(ops.sgd_update, (w, velocity, norm), {})
        return ops.exp(x)

    body = structure(fused(backend, step, *PRODUCT, (2, 3)))
    assert body[0] == (
        "update",
        ["v0 = matmul(x0, x1, transpose_a=True)", "v1 = accumulate(x4, v0, decay=0.9, weight=1.0)"],
        ["v1"],
    )
    assert body[1:3] == ["v2 = sum(v1)", "v3 = sgd_update(x2, v1, v2)"]


def test_a_new_value_may_be_read_after_the_region(backend, structure):
    def step(x, g, w, rate):
        w.update(ops.sgd_update, (w, product(x, g), rate), {})
        return w, ops.sum(w)

    region, after = structure(fused(backend, step, *PRODUCT))
    assert region[2] == ["v1"]
    assert after == "v2 = sum(v1)"


def test_nothing_moves_behind_the_update_of_a_state_that_it_reads(backend):
    def step(x, g, w, rate):
        gradient = product(x, g)
        x.update(ops.multiply, (x, x), {})  # after this the old x is gone
        w.update(ops.sgd_update, (w, gradient, rate), {})
        return ops.exp(g)

    program = trace_matrices(step, backend, *PRODUCT)
    assert fuse_updates(program) is program


def test_products_that_are_no_weight_gradients_and_lone_updates_are_left(backend):
    def step(x, w, rate, state):
        state.update(ops.sgd_update, (state, ops.matmul(x, w), rate), {})
        w.update(ops.sgd_update, (w, w, rate), {})
        return ops.exp(x)

    program = trace_matrices(step, backend, (4, 2), (2, 3), (1, 1), (4, 3))
    assert fuse_updates(program) is program
    none = trace_matrices(lambda x, g: ops.exp(product(x, g)), backend, (4, 2), (4, 3))
    assert fuse_updates(none) is none


def test_elementwise_fusion_moves_no_read_behind_an_update_either(backend, structure):
    def step(w, g):
        a = ops.exp(w)  # would stand after the update, beside its use
        w.update(ops.add, (w, ops.sum(g, axis=0)), {})
        return ops.tanh(a)

    fused = fuse_elementwise(trace_matrices(step, backend, (1, 3), (4, 3)))
    assert structure(fused) == ["v0 = exp(x0)", "v1 = sum(x1, axis=0)", "v2 = add(x0, v1)", "v3 = tanh(v0)"]
