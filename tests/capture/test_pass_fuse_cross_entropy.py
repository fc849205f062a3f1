"""Cross-entropy regions."""

from pycrograd_core import ops
from pycrograd_core.capture.passes import fuse_cross_entropy
from pycrograd_core.capture.recorder import trace_matrices

SHAPES = (4, 3), (4, 1, "int32"), (1, 1)


def test_the_loss_its_gradient_and_the_count_are_one_region(backend, structure):
    def step(logits, labels, g):
        loss = ops.cross_entropy(logits, labels)
        correct = ops.count_correct(logits, labels)
        return loss, correct, ops.exp(ops.cross_entropy_gradient(g, logits, labels))

    assert structure(fuse_cross_entropy(trace_matrices(step, backend, *SHAPES))) == [
        (
            "cross_entropy",
            ["v0 = cross_entropy(x0, x1)", "v1 = count_correct(x0, x1)", "v2 = cross_entropy_gradient(x2, x0, x1)"],
            ["v0", "v1", "v2"],
        ),
        "v3 = exp(v2)",
    ]


def test_a_loss_that_is_used_before_the_gradient_comes_after_the_region(backend, structure):
    def step(logits, labels, g):
        total = ops.cross_entropy(logits, labels) + 0.5
        return total, ops.cross_entropy_gradient(g, logits, labels)

    assert structure(fuse_cross_entropy(trace_matrices(step, backend, *SHAPES))) == [
        ("cross_entropy", ["v0 = cross_entropy(x0, x1)", "v1 = cross_entropy_gradient(x2, x0, x1)"], ["v0", "v1"]),
        "v2 = add(v0, 0.5)",
    ]


def test_a_gradient_that_needs_the_loss_by_way_of_outside_is_kept_out(backend):
    def step(logits, labels, _):
        return ops.cross_entropy_gradient(ops.exp(ops.cross_entropy(logits, labels)), logits, labels)

    program = trace_matrices(step, backend, *SHAPES)
    assert fuse_cross_entropy(program) is program


def test_a_gradient_that_takes_the_loss_itself_is_inside(backend, structure):
    def step(logits, labels, _):
        return ops.cross_entropy_gradient(ops.cross_entropy(logits, labels), logits, labels)

    assert structure(fuse_cross_entropy(trace_matrices(step, backend, *SHAPES))) == [
        ("cross_entropy", ["v0 = cross_entropy(x0, x1)", "v1 = cross_entropy_gradient(v0, x0, x1)"], ["v1"])
    ]


def test_a_gradient_whose_factor_is_made_later_than_the_loss_is_used_stays_where_it_is(backend):
    def step(logits, labels, g):
        total = ops.cross_entropy(logits, labels) + 0.5
        return total, ops.cross_entropy_gradient(ops.exp(g), logits, labels)

    program = trace_matrices(step, backend, *SHAPES)
    assert fuse_cross_entropy(program) is program


def test_other_logits_or_labels_are_another_loss(backend):
    def step(logits, labels, g, other):
        return (
            ops.cross_entropy(logits, labels),
            ops.cross_entropy_gradient(g, logits, other),
            ops.cross_entropy(ops.exp(logits), labels),
        )

    program = trace_matrices(step, backend, *SHAPES, (4, 1, "int32"))
    assert fuse_cross_entropy(program) is program
