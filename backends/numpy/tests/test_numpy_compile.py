"""Compiled programs against the eager kernels, one instruction after another."""

import tracemalloc
from itertools import pairwise
from math import inf, nan

import numpy as np
import pytest

from pycrograd_core import ops
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.program import Program, check, region
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.op import TABLE
from pycrograd_core.random import RandomStream
from pycrograd_numpy import blas, blocks, compiled, folding, ordering, plugin, source
from pycrograd_numpy.matrix import NumPyMatrix

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
OPTIMISERS = ("sgd", "decay", "decoupled", "momentum", "momentum with decay", "nesterov", "adam", "clipped")


def matrix(array):
    array = np.array(array)
    return NumPyMatrix(array, str(array.dtype))


def eager(program, *arguments):
    """What is returned, and what is written to states and arguments, which stay as they are."""
    known = {value: matrix(given.array) for value, given in zip(program.arguments, arguments, strict=True)}
    known |= {value: matrix(state.array) for value, state in program.states.items()}
    for value, draw in program.feeds.items():
        known[value] = NumPyMatrix.from_feed(draw, *value.shape, value.dtype)
    for value, constant in program.constants.items():
        make = NumPyMatrix.from_host if isinstance(constant.content, bytes) else NumPyMatrix.full
        given = (constant.content, *value.shape) if make == NumPyMatrix.from_host else (*value.shape, constant.content)
        known[value] = make(*given, value.dtype)
    for step in program.instructions:
        known[step.output] = NumPyMatrix.kernels[step.op](*[known[value] for value in step.inputs], **step.params)
    return [known[value].array for value in program.outputs], [known[value].array for value in program.updates.values()]


def written(program, arguments):
    """The arrays of what a program writes."""
    places = dict(program.states) | dict(zip(program.arguments, arguments, strict=True))
    return [places[target].array for target in program.updates]


def agree(found, expected, dtype):
    for got, wanted in zip(found, expected, strict=True):
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        scale = np.abs(wanted).max(initial=0)
        assert np.abs(got.astype("float64") - wanted).max(initial=0) <= TOLERANCE[dtype] * scale


def compare(program, *arguments, dtype="float64", steps=1):
    """The compiled program does in each step what the eager kernels do from the same state."""
    run = NumPyMatrix.compile(program)
    for _ in range(steps):
        outputs, states = eager(program, *arguments)
        found = [result.array for result in run(*arguments)]
        agree(found, outputs, dtype)
        agree(written(program, arguments), states, dtype)


# Every op -------------------------------------------------------------------------------------------------------------

SAMPLES = [(op, sample) for op in TABLE.values() for sample in op.samples]


def drawn(op, sample, dtype):
    arrays = sample.draw(RandomStream(0, "test", op.name))
    return [x.astype("int32" if position in op.indices else dtype) for position, x in enumerate(arrays)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kept", [False, True], ids=["arguments", "states"])
@pytest.mark.parametrize(("op", "sample"), SAMPLES, ids=lambda x: getattr(x, "name", ""))
def test_every_op(op, sample, kept, dtype):
    arrays = drawn(op, sample, dtype)
    params = dict(sample.params) | ({"dtype": dtype} if op is ops.one_hot else {})
    recorder = Recorder(NumPyMatrix)
    inputs = [recorder.state(matrix(x)) if kept else recorder.argument(x.shape, str(x.dtype)) for x in arrays]
    for x, array in zip(inputs, arrays, strict=True):
        x.limits = (0, int(array.max())) if array.dtype == "int32" else None
        x.sources = frozenset()
    result = recorder.kind.record(op, inputs, params)
    again = recorder.kind.record(op, inputs, params)  # one for the arena, one that is returned
    program = recorder.program([result, again if result.dtype == "int32" else again * 2.0], [])
    compare(program, *([] if kept else map(matrix, arrays)), dtype=dtype)


ELEMENTWISE = [(op, position) for op, _ in SAMPLES for position in range(len(op.samples[0].inputs)) if op.elementwise]


@pytest.mark.parametrize(("op", "position"), dict.fromkeys(ELEMENTWISE), ids=lambda x: str(getattr(x, "name", x)))
def test_an_operand_that_dies_may_be_overwritten(op, position):
    sample = op.samples[0]
    arrays = drawn(op, sample, "float64")

    def function(*inputs):
        dying = ops.abs(inputs[position])
        result = op(*inputs[:position], dying, *inputs[position + 1 :], **sample.params)
        return ops.transpose(result)  # so that the result itself is none

    program = trace_matrices(function, NumPyMatrix, *[(*x.shape, "float64") for x in arrays])
    compare(program, *map(matrix, arrays))


def test_what_is_accumulated_may_be_overwritten():
    def function(old, new):
        return ops.transpose(ops.accumulate(old, ops.abs(new), decay=0.9, weight=1.0))

    program = trace_matrices(function, NumPyMatrix, (2, 3, "float64"), (2, 3, "float64"))
    compare(program, *arguments_of(program))


def test_the_table_of_whole_ops_has_lines_for_each():
    assert NumPyMatrix.compiled_ops <= compiled.EMITTERS.keys()
    assert all(TABLE[name].decomposition for name in NumPyMatrix.compiled_ops)


@pytest.mark.parametrize("axis", [0, 1])
def test_long_sums_lose_no_digits(axis):
    x = np.full((5000, 2), 1.1, "float32")
    program = trace_matrices(lambda x: ops.sum(x, axis=axis), NumPyMatrix, (5000, 2) if axis == 0 else (2, 5000))
    compare(program, matrix(x if axis == 0 else x.T), dtype="float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_relu_is_a_choice(dtype):
    g = np.array([[inf, nan, -inf, 2.5, -3.5, -0.0]] * 2, dtype)
    y = np.array([[1.0, 1.0, 1e-30, 0.5, nan, inf], [0.0, -0.0, 0.0, nan, -1.0, -inf]], dtype)
    program = trace_matrices(ops.relu_gradient, NumPyMatrix, (2, 6, dtype), (2, 6, dtype))
    (found,) = NumPyMatrix.compile(program)(matrix(g), matrix(y))
    np.testing.assert_array_equal(found.array, np.where(y > 0, g, 0))
    assert not np.signbit(found.array[1]).any()


def test_what_infinities_give_is_no_warning():
    program = trace_matrices(lambda x: (ops.exp(x), ops.log(x), ops.divide(x, x)), NumPyMatrix, (1, 3))
    x = matrix(np.array([[0.0, 1000.0, -1.0]], "float32"))
    e, log, quotient = (result.array for result in NumPyMatrix.compile(program)(x))
    np.testing.assert_array_equal(e, np.array([[1, inf, np.exp(np.float32(-1))]], "float32"))
    np.testing.assert_array_equal(log[0, [0, 2]], [-inf, nan])
    np.testing.assert_array_equal(quotient, [[nan, 1, 1]])


# Training -------------------------------------------------------------------------------------------------------------


class Training:
    """A step of a small network, with the states that its optimiser needs."""

    def __init__(self, optimiser, dtype, sizes=(6, 16, 5, 3), batch=8):
        self.optimiser, self.dtype, self.numbers = optimiser, dtype, np.random.default_rng(0)
        self.recorder = Recorder(NumPyMatrix)
        self.places = []
        weights = [self.state(self.numbers.normal(size=pair)) for pair in pairwise(sizes)]
        biases = [self.state(self.numbers.normal(size=(1, size))) for size in sizes[1:]]
        self.rate = self.state([[0.05]])
        shares = [self.state([[0.2]]), self.state([[0.3]])]
        x = self.recorder.argument((batch, sizes[0]), dtype)
        labels = self.recorder.argument((batch, 1), "int32")
        activations = [x]
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            y = ops.linear(activations[-1], weight, bias)
            activations.append(ops.relu(y) if number < len(weights) - 1 else y)
        loss = ops.cross_entropy(y, labels)
        g = ops.cross_entropy_gradient(y.new_full(1, 1, 1.0), y, labels)
        correct = ops.count_correct(y, labels)
        gradients = []
        for weight, bias, x in zip(weights[::-1], biases[::-1], activations[-2::-1], strict=True):
            gradients += [(weight, ops.matmul(x, g, transpose_a=True)), (bias, ops.sum(g, axis=0))]
            if weight is not weights[0]:
                g = ops.relu_gradient(ops.matmul(g, weight, transpose_b=True), x)
        if optimiser == "clipped":
            norm = ops.sqrt(sum((ops.sum(g * g) for _, g in gradients[1:]), ops.sum(gradients[0][1] * gradients[0][1])))
            gradients = [(weight, g * ops.minimum(0.1 / norm, 1.0)) for weight, g in gradients]
        for weight, g in gradients:
            self.update(weight, g, shares)
        self.program = self.recorder.program([loss, correct], self.places)
        check(self.program)
        self.arguments = (
            matrix(self.numbers.normal(size=(batch, sizes[0])).astype(dtype)),
            matrix(self.numbers.integers(0, sizes[-1], (batch, 1)).astype("int32")),
        )

    def state(self, content):
        symbol = self.recorder.state(matrix(np.array(content, self.dtype)))
        self.places.append((symbol.current, symbol))
        return symbol

    def update(self, w, g, shares):
        name = self.optimiser
        if "with decay" in name or name == "decay":
            g = ops.accumulate(g, w, decay=1.0, weight=0.1)
        if name == "decoupled":
            w.update(ops.sgd_update, (w, w * 0.1, self.rate), {})
        if name == "adam":
            mean, square = self.state(np.zeros(w.shape)), self.state(np.full(w.shape, 0.1))
            mean.update(ops.accumulate, (mean, g), {"decay": 0.9, "weight": 0.1})
            square.update(ops.accumulate, (square, g * g), {"decay": 0.99, "weight": 0.01})
            w.update(ops.adam_update, (w, mean, square, self.rate, *shares), {"epsilon": 1e-8})
            return
        if "momentum" in name or name == "nesterov":
            velocity = self.state(self.numbers.normal(size=w.shape))
            velocity.update(ops.accumulate, (velocity, g), {"decay": 0.9, "weight": 1.0})
            g = ops.accumulate(g, velocity, decay=1.0, weight=0.9) if name == "nesterov" else velocity
        w.update(ops.sgd_update, (w, g, self.rate), {})


def whole(program):
    """The kinds of the regions that are run in one piece, and how."""
    return [(step.kind, type(way).__name__) for step, way in compiled.arranged(program)[1].items()]


@pytest.fixture(params=["as it is", "no BLAS", "in blocks"])
def way(request, monkeypatch):
    """Every way of running an update: folded where it is a sum; without the BLAS; in blocks that do not divide it."""
    if request.param != "as it is":
        monkeypatch.setattr(folding, "blas", lambda dtype: None)
    if request.param == "in blocks":
        monkeypatch.setattr(blocks, "BLOCK", 20)
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("passes", [lambda program: program, optimise], ids=["plain", "optimised"])
def test_training(optimiser, passes, dtype, way):
    training = Training(optimiser, dtype)
    program = passes(training.program)
    compare(program, *training.arguments, dtype=dtype, steps=4)


def test_the_rate_is_read_in_each_call():
    training = Training("sgd", "float64")
    program = optimise(training.program)
    run = NumPyMatrix.compile(program)
    rate = next(state for value, state in program.states.items() if value.shape == (1, 1) and state.array[0, 0] == 0.05)
    for number in (0.5, 0.0, 0.01):
        rate.array.fill(number)
        _, expected = eager(program, *training.arguments)
        run(*training.arguments)
        agree(written(program, training.arguments), expected, "float64")


def test_the_blas_of_the_wheels_is_within_reach():
    """So that what is skipped without one is not skipped where NumPy comes from PyPI."""
    if np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"] == "scipy-openblas":
        assert all(blas.blas(dtype) is not None for dtype in ("float32", "float64"))


@pytest.mark.skipif(blas.blas("float32") is None, reason="NumPy's BLAS cannot be reached from here")
def test_updates_are_folded_into_the_product():
    for optimiser in OPTIMISERS:
        program = optimise(Training(optimiser, "float32").program)
        expected = {"adam": [], "clipped": ["Folded"] * 6}.get(optimiser, ["Folded"] * 6)
        assert [way for kind, way in whole(program) if kind == "update"] == expected, optimiser


def test_large_updates_that_are_no_sums_go_in_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 20)
    ways = [way for kind, way in whole(optimise(Training("adam", "float32").program)) if kind == "update"]
    assert ways == ["Blocked"] * 2  # not the last weights, of 15 elements, and not the biases


@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "nesterov", "adam"])
def test_the_gradient_of_large_weights_is_never_in_memory(optimiser):
    training = Training(optimiser, "float32", sizes=(8, 1024, 1024, 4))
    program = optimise(training.program)
    tracemalloc.start()
    run = NumPyMatrix.compile(program)
    run(*training.arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1024 * 1024 * 4 * 0.75


def test_updates_come_early():
    """Where one update waits for another, or for those who read the old value, it comes no later than it did."""
    training = Training("momentum", "float64", sizes=(6, 16, 16, 16, 3))
    program = optimise(training.program)
    early = ordering.updates_early(program)
    check(early)
    assert compiled.arranged(early)[0].size < compiled.arranged(program)[0].size
    kinds = [getattr(step, "kind", "") for step in early.body]
    assert kinds[-1] == "update"
    assert kinds.count("update") == 8
    last_backward = max(position for position, kind in enumerate(kinds) if not kind)
    assert kinds[:last_backward].count("update") == 6


def test_no_update_is_moved_behind_who_reads_it():
    def function(w, g, rate):
        old = type(w)(w.current)
        w.update(ops.sgd_update, (w, g, rate), {})
        return ops.sum(w), ops.sum(old)

    program = one_region("update", trace_matrices(function, NumPyMatrix, (2, 3), (2, 3), (1, 1)), keep=2)
    early = ordering.updates_early(program)
    check(early)
    assert early.body == program.body


# Updates by hand ------------------------------------------------------------------------------------------------------


def one_region(kind, program, keep=0):
    """The program as one region, except for the last `keep` steps."""
    split = len(program.body) - keep
    members, rest = program.body[:split], program.body[split:]
    outside = {value for step in rest for value in step.inputs} | set(program.results)
    program = program.with_body([region(kind, members, outside.__contains__), *rest])
    check(program)
    return program


def arguments_of(program):
    numbers = np.random.default_rng(1)
    return [matrix(numbers.normal(size=value.shape).astype(value.dtype)) for value in program.arguments]


def _read_afterwards(x, g, w, rate):
    old = type(w)(w.current)
    w.update(ops.sgd_update, (w, ops.matmul(x, g, transpose_a=True), rate), {})
    return ops.sum(old)


def _product_with_itself(x, g, w, rate):
    w.update(ops.sgd_update, (w, ops.matmul(w, w, transpose_a=True), rate), {})
    return ops.sum(x)


def _written_before(x, g, w, rate):
    old = type(w)(w.current)
    w.update(ops.sgd_update, (w, ops.matmul(x, g, transpose_a=True), rate), {})
    x.update(ops.add, (ops.matmul(old, old, transpose_b=True), x), {})
    return ops.sum(g)


def _replaced(x, g, w, rate):
    w.assign(ops.negative(ops.matmul(x, g, transpose_a=True)))
    return ops.sum(g)


def _two_products(x, g, w, rate):
    total = ops.add(ops.matmul(x, g, transpose_a=True), ops.matmul(g, x))
    w.update(ops.sgd_update, (w, ops.subtract(total, w), rate), {})
    return ops.sum(g)


def _returned(x, g, w, rate):
    w.update(ops.sgd_update, (w, ops.matmul(x, g, transpose_a=True), rate), {})
    return w


BY_HAND = (_read_afterwards, _product_with_itself, _written_before, _replaced, _two_products, _returned)


@pytest.mark.parametrize("function", BY_HAND)
@pytest.mark.parametrize("kind", ["update", "elementwise", "rows", "product"])
def test_updates_in_odd_places(function, kind, way):
    shapes = [(6, 6, "float64")] * 3 + [(1, 1, "float64")]
    program = trace_matrices(function, NumPyMatrix, *shapes)
    compare(program, *arguments_of(program), steps=2)
    keep = 0 if function is _returned else 1
    compare(one_region(kind, program, keep), *arguments_of(program), steps=2)


def trace_by_hand(function):
    return trace_matrices(function, NumPyMatrix, *[(6, 6)] * 3, (1, 1))


@pytest.mark.skipif(blas.blas("float32") is None, reason="NumPy's BLAS cannot be reached from here")
def test_only_what_is_a_sum_in_its_own_place_is_folded():
    def folds(function, *shapes):
        return whole(one_region("update", trace_matrices(function, NumPyMatrix, *shapes), keep=1)) != []

    def bias(x, w, rate):
        w.update(ops.sgd_update, (w, ops.sum(x, axis=0), rate), {})
        return ops.sum(x)

    shapes = [(6, 6)] * 3 + [(1, 1)]
    assert folds(_two_products, *shapes)
    assert folds(_replaced, *shapes)
    assert not folds(_product_with_itself, *shapes)  # it would be read while it is written
    assert not folds(_read_afterwards, *shapes)
    assert folds(bias, (4000, 3), (1, 3), (1, 1))
    assert not folds(bias, (5000, 3), (1, 3), (1, 1))  # float32 would lose digits


def test_a_rate_that_the_step_changes_is_read_in_each_step():
    def function(x, g, w, rate):
        w.update(ops.sgd_update, (w, ops.matmul(x, g, transpose_a=True), rate), {})
        rate.update(ops.multiply, (rate, rate), {})
        return ops.sum(w)

    program = optimise(trace_matrices(function, NumPyMatrix, *[(6, 6, "float64")] * 3, (1, 1, "float64")))
    loop = program.with_body(program.body, stacked=frozenset(program.arguments[:2]))
    x, g, w, rate = arguments_of(program)
    twin = [matrix(w.array), matrix(rate.array)]
    (found,) = NumPyMatrix.compile(loop)(*(matrix(np.tile(each.array, (4, 1))) for each in (x, g)), w, rate)
    for number in range(4):
        (expected,), states = eager(program, x, g, *twin)
        twin = [matrix(state) for state in states]
        agree([found.array[number : number + 1]], [expected], "float64")
    agree([w.array, rate.array], states, "float64")


def test_infinities_in_blocks_are_no_warning(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 20)

    def function(w, mean, square, number):
        w.update(ops.adam_update, (w, mean, square, number, number, number), {"epsilon": 0.0})
        return ops.matmul(mean, mean)

    program = one_region("update", trace_by_hand(function), keep=1)
    assert [way for _, way in whole(program)] == ["Blocked"]
    w = matrix(np.ones((6, 6), "float32"))
    zeros = [matrix(np.zeros(shape, "float32")) for shape in ((6, 6), (6, 6))]
    NumPyMatrix.compile(program)(w, *zeros, matrix(np.ones((1, 1), "float32")))
    assert np.isnan(w.array).all()


def test_a_loss_that_scales_its_own_gradient():
    def function(logits, labels):
        loss = ops.cross_entropy(logits, labels)
        return loss, ops.cross_entropy_gradient(loss, logits, labels), ops.count_correct(logits, labels)

    program = trace_matrices(function, NumPyMatrix, (4, 3), (4, 1, "int32"))
    given = matrix(np.arange(12.0, dtype="float32").reshape(4, 3) % 5), matrix(np.array([[0], [2], [1], [1]], "int32"))
    compare(program, *given, dtype="float32")
    compare(one_region("cross_entropy", program), *given, dtype="float32")


def test_states_that_change_places():
    def function(a, b):
        a.current, b.current = b.current, a.current
        return type(a)(b.current), ops.exp(a)

    program = trace_matrices(function, NumPyMatrix, (2, 3), (2, 3))
    compare(program, *arguments_of(program), dtype="float32", steps=3)


# Outputs, feeds, loops ------------------------------------------------------------------------------------------------


def test_outputs_share_memory_with_nothing():
    def function(x, w):
        y = ops.exp(x)
        z = ops.tanh(y)
        w.update(ops.add, (w, y), {})
        return x, y, type(y)(y.current), z, w

    program = trace_matrices(function, NumPyMatrix, (2, 3), (2, 3))
    arguments = arguments_of(program)
    compare(program, *arguments, dtype="float32")
    run = NumPyMatrix.compile(program)
    first = run(*arguments)
    copies = [result.array.copy() for result in first]
    second = run(*arguments)
    arrays = [matrix.array for matrix in (*first, *second, *arguments)]
    for number, array in enumerate(arrays):
        assert not any(np.shares_memory(array, other) for other in arrays[:number])
    for result, copy in zip(first, copies, strict=True):
        np.testing.assert_array_equal(result.array, copy)


def test_feeds_are_drawn_in_each_step():
    draws = iter(range(1, 100))

    def draw(rows, cols):
        return np.full((rows, cols), next(draws), "float32")

    recorder = Recorder(NumPyMatrix)
    x = recorder.argument((2, 2), "float32")
    keep = recorder.kind.from_feed(draw, 2, 2, "float32")
    program = recorder.program([ops.multiply(x, keep)], [])
    x = matrix(np.ones((2, 2), "float32"))
    assert [NumPyMatrix.compile(program)(x)[0].array[0, 0] for _ in range(3)] == [1, 2, 3]
    loop = program.with_body(program.body, stacked=frozenset(program.arguments))
    (found,) = NumPyMatrix.compile(loop)(matrix(np.ones((6, 2), "float32")))
    np.testing.assert_array_equal(found.array[:, 0], [4, 4, 5, 5, 6, 6])


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_loop_is_many_steps(optimiser):
    training, twin = Training(optimiser, "float64"), Training(optimiser, "float64")
    program, loop = optimise(training.program), optimise(twin.program)
    loop = loop.with_body(loop.body, stacked=frozenset(loop.arguments))
    run = NumPyMatrix.compile(program)
    numbers = np.random.default_rng(2)
    steps = [(numbers.normal(size=(8, 6)), numbers.integers(0, 3, (8, 1)).astype("int32")) for _ in range(5)]
    expected = [[result.array for result in run(matrix(x), matrix(labels))] for x, labels in steps]
    found = NumPyMatrix.compile(loop)(*(matrix(np.concatenate(each)) for each in zip(*steps, strict=True)))
    for result, each in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(result.array, np.concatenate(each))
    for state, other in zip(program.states.values(), loop.states.values(), strict=True):
        np.testing.assert_array_equal(state.array, other.array)


def test_a_loop_with_arguments_for_all_steps():
    program = trace_matrices(lambda x, w: ops.matmul(x, w), NumPyMatrix, (2, 3), (3, 2))
    loop = program.with_body(program.body, stacked=frozenset(program.arguments[:1]))
    x, w = np.arange(12.0, dtype="float32").reshape(4, 3), np.arange(6.0, dtype="float32").reshape(3, 2)
    (found,) = NumPyMatrix.compile(loop)(matrix(x), matrix(w))
    np.testing.assert_array_equal(found.array, x @ w)


def test_long_programs_are_cut_into_functions(monkeypatch):
    monkeypatch.setattr(source, "CHUNK", 7)
    for optimiser in ("sgd", "adam"):
        training = Training(optimiser, "float64")
        compare(optimise(training.program), *training.arguments, steps=2)


def test_new_limits_of_written_indices_are_unknown():
    recorder = Recorder(NumPyMatrix)
    kept = matrix(np.array([[1], [0]], "int32"))
    kept.limits = (0, 1)
    x, labels = recorder.argument((2, 1), "int32"), recorder.state(kept)
    start = labels.current
    labels.assign(x)
    program = recorder.program([], [(start, labels)])
    NumPyMatrix.compile(program)(matrix(np.array([[7], [8]], "int32")))
    assert kept.limits is None
    np.testing.assert_array_equal(kept.array, [[7], [8]])


def test_a_program_of_nothing():
    program = trace_matrices(lambda x: x, NumPyMatrix, (2, 3))
    compare(program, *arguments_of(program), dtype="float32")
    assert list(NumPyMatrix.compile(Program(NumPyMatrix, (), (), ()))()) == []


# The BLAS -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_library_with_other_integers_is_refused(dtype, monkeypatch):
    found = blas.blas(dtype)
    if found is None:
        pytest.skip("NumPy's BLAS cannot be reached from here")
    assert blas._right(found, dtype)
    wrong = blas.Blas(lambda *arguments: None, found.gemv, found.axpy, found.scal, found.integer, found.number)
    assert not blas._right(wrong, dtype)
    monkeypatch.setattr(blas, "_right", lambda found, dtype: False)
    assert blas.blas.__wrapped__(dtype) is None


def test_the_address_of_an_array():
    writable = np.zeros((3, 4))
    still = np.zeros((3, 4))
    still.flags.writeable = False
    for array in (writable, still, writable[1:]):
        assert blas.address(array) == array.ctypes.data


def test_the_probe_tells_whether_products_accumulate(monkeypatch):
    found = all(map(blas.blas, ("float32", "float64")))
    assert ("in place" if found else "out of reach") in plugin.probe().devices[0]
    monkeypatch.setattr(blas, "blas", lambda dtype: None)
    assert "out of reach" in plugin.probe().devices[0]
