"""Row-local regions."""

from itertools import pairwise

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import optimise, row_local_regions
from pycrograd_core.capture.program import Region, check
from pycrograd_core.capture.recorder import Recorder, trace_matrices

COMPILED = "linear relu relu_gradient cross_entropy cross_entropy_gradient count_correct sgd_update"


def found(backend, function, *shapes):
    return row_local_regions(trace_matrices(function, backend, *shapes))


def network(matrix, widths, batch, clipped=False):
    """A training step of linear layers and relus: cross-entropy, gradients of all parameters, SGD."""
    recorder = Recorder(matrix)
    x, labels = recorder.argument((batch, widths[0]), "float32"), recorder.argument((batch, 1), "int32")
    states = [recorder.state(matrix.full(1, 1, 0.1, "float32"))]
    for inner, outer in pairwise(widths):
        states += [recorder.state(matrix.full(*shape, 0.5, "float32")) for shape in ((inner, outer), (1, outer))]
    rate, weights, biases = states[0], states[1::2], states[2::2]
    taken = [x]
    for weight, bias in zip(weights, biases, strict=True):
        x = ops.linear(x, weight, bias)
        x = ops.relu(x) if weight is not weights[-1] else x
        taken.append(x)
    loss, correct = ops.cross_entropy(x, labels), ops.count_correct(x, labels)
    g = ops.cross_entropy_gradient(recorder.kind.full(1, 1, 1.0, "float32"), x, labels)
    gradients = []
    for layer in reversed(range(len(weights))):
        gradients += [
            (weights[layer], ops.matmul(taken[layer], g, transpose_a=True)),
            (biases[layer], ops.sum(g, axis=0)),
        ]
        if layer:
            g = ops.relu_gradient(ops.matmul(g, weights[layer], transpose_b=True), taken[layer])
    if clipped:
        norm = ops.sqrt(sum((ops.sum(gradient * gradient) for _, gradient in gradients[1:]), ops.sum(gradients[0][1])))
        gradients = [(parameter, gradient / norm) for parameter, gradient in gradients]
    for parameter, gradient in gradients:
        parameter.update(ops.sgd_update, (parameter, gradient, rate), {})
    return recorder.program([loss, correct], list(zip(recorder.states, states, strict=True)))


def test_a_training_step_is_one_sweep_over_rows_and_the_updates(compiling):
    program = optimise(network(compiling(COMPILED), [7, 5, 6, 3], batch=4))
    check(program)
    assert [step.kind for step in program.body] == ["rows", *["update"] * 6]
    sweep = program.body[0]
    inner = [
        (step.kind, [each.op.name for each in step.body]) if isinstance(step, Region) else step.op.name
        for step in sweep.body
    ]
    assert inner == [
        ("product", ["linear", "relu"]),
        ("product", ["linear", "relu"]),
        "linear",
        ("cross_entropy", ["cross_entropy", "count_correct", "cross_entropy_gradient"]),
        ("product", ["matmul", "relu_gradient"]),
        ("product", ["matmul", "relu_gradient"]),
    ]
    assert program.outputs == sweep.outputs[2:4]
    assert {value.shape for value in sweep.outputs} == {(4, 5), (4, 6), (4, 3), (1, 1)}


def test_gradients_that_are_needed_at_once_do_not_cut_the_sweep(compiling):
    program = optimise(network(compiling(COMPILED), [7, 5, 6, 3], batch=4, clipped=True))
    check(program)
    assert [getattr(step, "kind", "") for step in program.body].count("rows") == 1
    sweep = program.body[0]
    assert [each.op.name for step in sweep.body for each in getattr(step, "body", [step])] == [
        "linear", "relu", "linear", "relu", "linear", "cross_entropy", "count_correct", "cross_entropy_gradient", "sum",
        "matmul", "relu_gradient", "sum", "matmul", "relu_gradient", "sum",
    ]  # fmt: skip


def test_batch_and_width_may_be_the_same_number(compiling):
    program = optimise(network(compiling(COMPILED), [4, 4, 4, 4], batch=4))
    check(program)
    assert [step.kind for step in program.body] == ["rows", *["update"] * 6]


def test_one_row_is_no_sweep(compiling):
    program = optimise(network(compiling(COMPILED), [7, 5, 3], batch=1))
    check(program)
    assert "rows" not in {getattr(step, "kind", "") for step in program.body}


def test_products_softmax_and_rows_taken_by_index_are_row_local(backend, structure):
    def step(table, rows, w):
        return ops.matmul(ops.softmax(ops.take_rows(table, rows)), w)

    assert structure(found(backend, step, (9, 3), (4, 1, "int32"), (3, 5))) == [
        ("rows", ["v0 = take_rows(x0, x1)", "v1 = softmax(v0)", "v2 = matmul(v1, x2)"], ["v2"])
    ]


@pytest.mark.parametrize(
    "breaking",
    [
        lambda x: ops.matmul(x, x, transpose_a=True),
        lambda x: ops.softmax(x, axis=0),
        ops.transpose,
        lambda x: ops.reshape(x, rows=3, cols=4),
        lambda x: ops.slice(x, row_start=1, row_stop=4, col_start=0, col_stop=3),
        lambda x: ops.concat(x, x, axis=0),
        lambda x: ops.take_rows(x, x.new_rows),
        lambda x: ops.argmax(x, axis=0),
    ],
)
def test_what_mixes_rows_ends_the_region(backend, breaking, monkeypatch):
    def step(x, rows, w):
        y = ops.softmax(ops.matmul(x, w))
        type(y).new_rows = rows
        return breaking(y)

    program = found(backend, step, (4, 3), (4, 1, "int32"), (3, 3))
    check(program)
    assert [step.kind for step in program.body if isinstance(step, Region)] == ["rows"]
    assert program.outputs[0] not in program.body[0].outputs


def test_what_is_taken_whole_comes_from_outside(backend, structure):
    def step(x, w, u):
        queries, keys = ops.matmul(x, w), ops.matmul(x, u)
        return ops.softmax(ops.matmul(queries, keys, transpose_b=True))

    assert structure(found(backend, step, (4, 3), (3, 3), (3, 3))) == [
        "v0 = matmul(x0, x2)",
        (
            "rows",
            ["v1 = matmul(x0, x1)", "v2 = matmul(v1, v0, transpose_b=True)", "v3 = softmax(v2)"],
            ["v3"],
        ),
    ]


def test_a_matrix_that_is_taken_both_ways_ends_the_region(backend, structure):
    def step(x, w):
        y = ops.exp(ops.matmul(x, w))
        return ops.softmax(ops.matmul(y, y, transpose_b=True))

    assert structure(found(backend, step, (4, 3), (3, 3))) == [
        ("rows", ["v0 = matmul(x0, x1)", "v1 = exp(v0)"], ["v1"]),
        ("rows", ["v2 = matmul(v1, v1, transpose_b=True)", "v3 = softmax(v2)"], ["v3"]),
    ]


def test_reductions_are_read_outside_alone(backend, structure):
    def step(x, w, row):
        y = ops.matmul(x, w)
        total, norm = ops.sum(y, axis=0), ops.sum(y)
        return ops.softmax(y) / norm, total

    assert structure(found(backend, step, (4, 3), (3, 3), (1, 3))) == [
        (
            "rows",
            ["v0 = matmul(x0, x1)", "v1 = sum(v0, axis=0)", "v2 = sum(v0)", "v3 = softmax(v0)"],
            ["v1", "v2", "v3"],
        ),
        "v4 = divide(v3, v2)",
    ]


def test_a_broadcast_reduction_does_not_come_back(backend):
    def step(x, w):
        y = ops.softmax(ops.matmul(x, w))
        return ops.softmax(y - ops.mean(y, axis=0))

    program = found(backend, step, (4, 3), (3, 3))
    check(program)
    sweep = program.body[0]
    made = {value for step in sweep.body for value in step.outputs}
    assert [step.op.name for step in sweep.body] == ["matmul", "softmax", "mean"]
    assert not any(value in made for value in sweep.inputs)


def test_elementwise_ops_alone_are_no_sweep_and_updates_are_not_inside(backend):
    def step(x, y):
        return ops.exp(ops.tanh(x)) * y

    program = trace_matrices(step, backend, (4, 3), (4, 3))
    assert row_local_regions(program) is program


def test_heads_of_one_trunk_are_one_region(backend):
    def step(x, w, u, v):
        trunk = ops.relu(ops.matmul(x, w))
        return ops.softmax(ops.matmul(trunk, u)) * ops.sum(ops.matmul(trunk, v), axis=1)

    program = found(backend, step, (4, 3), (3, 3), (3, 3), (3, 2))
    check(program)
    assert len(program.body) == 1


def between(x, w):
    """A product of which something outside needs all rows, so that its region has its place."""
    y = ops.matmul(x, w)
    return y, ops.transpose(y)


def test_what_could_have_been_made_earlier_joins_a_region_that_has_its_place(backend, structure):
    def step(x, w, other):
        y, turned = between(x, w)
        longer = ops.exp(ops.softmax(ops.matmul(other, w)))
        return ops.softmax(y * longer), turned

    assert structure(found(backend, step, (4, 3), (3, 3), (4, 3))) == [
        (
            "rows",
            [
                "v0 = matmul(x0, x1)",
                "v1 = matmul(x2, x1)",
                "v2 = softmax(v1)",
                "v3 = exp(v2)",
                "v4 = multiply(v0, v3)",
                "v5 = softmax(v4)",
            ],
            ["v0", "v5"],
        ),
        "v6 = transpose(v0)",
    ]


def test_what_could_not_is_a_region_of_its_own(backend, structure):
    def step(x, w, other):
        y, turned = between(x, w)
        later = ops.softmax(ops.matmul(other, ops.matmul(turned, other)))
        return ops.softmax(y * later)

    body = structure(found(backend, step, (4, 3), (3, 3), (4, 3)))
    assert body[:3] == ["v0 = matmul(x0, x1)", "v1 = transpose(v0)", "v2 = matmul(v1, x2)"]
    assert [line.split(" = ")[1].split("(")[0] for line in body[3][1]] == ["matmul", "softmax", "multiply", "softmax"]


def test_what_a_state_is_to_hold_is_not_made_before_the_old_is_read(backend, structure):
    def step(x, w, state):
        y, turned = between(x, w)
        old = ops.transpose(state)
        state.assign(ops.softmax(x))
        return ops.exp(ops.softmax(y * state)), turned, old

    body = structure(found(backend, step, (4, 3), (3, 3), (4, 3)))
    assert body[:3] == ["v0 = matmul(x0, x1)", "v1 = transpose(v0)", "v2 = transpose(x2)"]
    assert body[3][0] == "rows"
    assert body[3][1][0] == "v3 = softmax(x0)"
