"""Whole steps, compiled: what is written when, loops of steps, training as eager training does it, and the source."""

from __future__ import annotations

import math
from array import array
from random import Random

import numpy as np
import pytest

from pycrograd_core import RandomStream, Tensor, nn, no_grad, ops, optim, use_backend
from pycrograd_core.capture import capture
from pycrograd_core.capture.passes import optimise
from pycrograd_core.capture.program import Value, region
from pycrograd_core.capture.recorder import Recorder, trace_matrices
from pycrograd_core.matrix import FORMATS
from pycrograd_core.random import use_stream
from pycrograd_python.matrix import PythonMatrix


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


def matrix(shape, dtype, numbers):
    return PythonMatrix.from_host(array(FORMATS[dtype], numbers), *shape, dtype)


def row(*numbers):
    return matrix((1, len(numbers)), "float64", numbers)


def numbers(*matrices):
    return [x.data.tolist() for x in matrices]


# What is written, and when -----------------------------------------------------------------------------------------


def test_the_old_value_of_a_state_is_read_until_the_step_is_done():
    def step(w, g):
        before = w * 10.0
        w.update(ops.add, (w, g), {})
        return before + w, w * 2.0

    program = trace_matrices(step, PythonMatrix, (1, 2, "float64"), (1, 2, "float64"))
    (_, _, late, _) = program.body
    for body in (
        program.body,
        [region("update", [program.body[1]], lambda v: True), program.body[0], *program.body[2:]],
    ):
        run = PythonMatrix.compile(program.with_body(body))
        w, g = row(1.0, 2.0), row(0.5, 0.25)
        assert numbers(*run(w, g), w, g) == [[11.5, 22.25], [3.0, 4.5], [1.5, 2.25], [0.5, 0.25]]
        assert numbers(*run(w, g), w) == [[17.0, 25.0], [4.0, 5.0], [2.0, 2.5]]
    assert late.op is ops.add


def test_states_may_change_places():
    program = trace_matrices(lambda x, y: x * y, PythonMatrix, (1, 2, "float64"), (1, 2, "float64"))
    a, b = program.arguments
    run = PythonMatrix.compile(program.with_body(program.body, updates={a: b, b: a}))
    x, y = row(1.0, 2.0), row(3.0, 4.0)
    assert numbers(*run(x, y), x, y) == [[3.0, 8.0], [3.0, 4.0], [1.0, 2.0]]


def test_states_are_read_and_written_in_their_own_memory():
    recorder = Recorder(PythonMatrix)
    state = row(1.0, 2.0)
    w, x = recorder.state(state), recorder.argument((1, 2), "float64")
    w.update(ops.add, (w, x), {})
    places = list(zip([*recorder.states, *recorder.arguments], [w, x], strict=True))
    run = PythonMatrix.compile(recorder.program([w], places))
    view = state.to_host()
    (first,) = run(row(1.0, 1.0))
    state.data[0] = 100.0  # as an eager write between two calls
    (second,) = run(row(1.0, 1.0))
    assert numbers(first, second) == [[2.0, 3.0], [101.0, 4.0]]
    assert view.tolist() == [101.0, 4.0]


def test_outputs_share_memory_with_nothing():
    def step(x, y):
        total = x + y
        return total, total, y, x.new_full(1, 2, 7.0)

    program = trace_matrices(step, PythonMatrix, (1, 2, "float64"), (1, 2, "float64"))
    run = PythonMatrix.compile(program.with_body(program.body, updates={program.arguments[0]: program.outputs[0]}))
    x, y = row(1.0, 2.0), row(3.0, 4.0)
    outputs = run(x, y)
    for value in (*outputs, x, y):
        assert numbers(*run(row(1.0, 2.0), row(3.0, 4.0))) == [[4.0, 6.0], [4.0, 6.0], [3.0, 4.0], [7.0, 7.0]]
        value.data[:] = array("d", [-1.0, -1.0])
    assert len({id(value.data) for value in (*outputs, x, y)}) == 6


def test_feeds_are_drawn_anew_in_each_step():
    recorder = Recorder(PythonMatrix)
    x = recorder.argument((1, 2), "float64")
    drawn = iter(range(100))
    fed = recorder.kind.from_feed(lambda rows, cols: np.full((rows, cols), float(next(drawn))), 1, 2, "float64")
    run = PythonMatrix.compile(recorder.program([x * fed], []))
    assert numbers(*run(row(1.0, 2.0)), *run(row(1.0, 2.0)), *run(row(1.0, 2.0))) == [
        [0.0, 0.0],
        [1.0, 2.0],
        [2.0, 4.0],
    ]


def test_nothing_is_written_when_a_step_fails():
    def step(w, x, labels):
        w.update(ops.add, (w, w), {})
        return ops.cross_entropy(x, labels)

    program = trace_matrices(step, PythonMatrix, (1, 2, "float64"), (1, 2, "float64"), (1, 1, "int32"))
    run = PythonMatrix.compile(program)
    w = row(1.0, 2.0)
    with pytest.raises(IndexError):
        run(w, row(1.0, 2.0), matrix((1, 1), "int32", [5]))
    assert numbers(w) == [[1.0, 2.0]]


# Loops -------------------------------------------------------------------------------------------------------------


def test_a_loop_is_its_steps_one_after_another(dtype):
    def step(x, w, kept):
        y = ops.relu(ops.matmul(x, w))
        w.update(ops.accumulate, (w, ops.matmul(x, y, transpose_a=True)), {"decay": 0.5, "weight": 0.1})
        x.update(ops.multiply, (x, kept), {})
        return ops.sum(y, axis=1), ops.sum(y), kept * 2.0

    program = optimise(trace_matrices(step, PythonMatrix, (2, 3, dtype), (3, 3, dtype), (1, 1, dtype)))
    x, *_ = program.arguments
    loop = PythonMatrix.compile(program.with_body(program.body, stacked=frozenset({x})))
    random = Random(0)
    rows = matrix((8, 3), dtype, [random.uniform(-1, 1) for _ in range(24)])
    weight = matrix((3, 3), dtype, [random.uniform(-1, 1) for _ in range(9)])
    scale = matrix((1, 1), dtype, [3.0])
    single, once = PythonMatrix.compile(program), weight.reshape(3, 3)
    parts = [rows.slice(i, i + 2, 0, 3) for i in range(0, 8, 2)]
    expected = [single(part, once, scale) for part in parts]
    found = loop(rows, weight, scale)
    assert [x.shape for x in found] == [(8, 1), (4, 1), (4, 1)]
    for got, each in zip(found, zip(*expected, strict=True), strict=True):
        assert got.data == each[0].concat(*each[1:], axis=0).data
    assert weight.data == once.data
    assert rows.data == parts[0].concat(*parts[1:], axis=0).data


# Training ----------------------------------------------------------------------------------------------------------

OPTIMISERS = {
    "sgd": lambda parameters: optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda parameters: optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "decoupled": lambda parameters: optim.SGD(parameters, 0.1, weight_decay=0.1, decoupled=True),
    "adam": lambda parameters: optim.Adam(parameters, 0.01, weight_decay=0.01),
    "adamw": lambda parameters: optim.AdamW(parameters, 0.01),
}


class Training:
    """A network of 20-24-14-5 and a step of it; two of these begin alike."""

    def __init__(self, name, dtype):
        with use_backend("python"), use_stream(RandomStream(1)):
            self.model = nn.Sequential(
                nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 14), nn.Tanh(), nn.Dropout(0.2), nn.Linear(14, 5)
            )
            if dtype == "float64":
                self.model.to(dtype=dtype)
            self.optimiser = OPTIMISERS[name](self.model.parameters())

    def step(self, x, labels):
        logits = self.model(x)
        loss = nn.cross_entropy(logits, labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss, ops.count_correct(logits, labels)

    @property
    def tensors(self):
        return [*self.optimiser.parameters, *self.optimiser.state.values()]


def batch(dtype, number):
    stream = np.random.default_rng(number)
    x = stream.random((13, 20)) * (stream.random((13, 20)) < 0.6)
    return Tensor(x, dtype=dtype), Tensor(stream.integers(0, 5, 13), dtype="int32")


def both(name, dtype, steps):
    """The results of each step: of eager training, and of captured training from the same state."""
    eager, captured = Training(name, dtype), Training(name, dtype)
    replay = capture(captured.step)
    for number in range(steps):
        with use_backend("python"):
            given = batch(dtype, number)
            with use_stream(RandomStream(number)):
                expected = eager.step(*given)
            with use_stream(RandomStream(number)):
                found = replay(*given)
        yield [*expected, *eager.tensors], [*found, *captured.tensors]
        with no_grad():
            for a, b in zip(eager.tensors, captured.tensors, strict=True):
                b.assign(a)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_captured_training_is_eager_training_bit_for_bit_in_float64(name):
    for expected, found in both(name, "float64", 5):
        assert [x.numpy().tobytes() for x in expected] == [x.numpy().tobytes() for x in found]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_each_step_of_captured_training_is_eager_training_in_float32(name):
    for expected, found in both(name, "float32", 5):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-5, atol=1e-6 * np.abs(a.numpy()).max())


# Random programs ---------------------------------------------------------------------------------------------------

UNARY = [ops.relu, ops.tanh, ops.abs, ops.exp, ops.sqrt, ops.log, ops.sigmoid, ops.negative, ops.softmax]
BINARY = [ops.add, ops.subtract, ops.multiply, ops.divide, ops.maximum, ops.minimum, ops.greater, ops.equal, ops.power]


def random_program(seed, dtype, length=40):
    random = Random(seed)
    shapes = [(4, 14), (14, 4), (1, 14), (4, 1), (1, 1), (4, 14)]

    def step(*inputs):
        made = list(inputs)
        for _ in range(length):
            x = random.choice(made)
            kind = random.randrange(6)
            partners = [y for y in made if y.shape in (x.shape, (1, x.cols), (x.rows, 1), (1, 1))]
            products = [y for y in made if y.rows == x.cols]
            if kind == 0:
                made.append(random.choice(UNARY)(x))
            elif kind == 1:
                made.append(ops.matmul(x, random.choice(products)) if products else ops.transpose(x))
            elif kind == 2:
                made.append(random.choice([ops.sum, ops.max])(x, axis=random.choice([None, 0, 1])))
            elif kind == 3:
                same = [y for y in inputs if y.shape == x.shape]
                if same:
                    random.choice(same).update(ops.accumulate, (same[0], x), {"decay": 0.5, "weight": 0.5})
            else:
                made.append(random.choice(BINARY)(x, random.choice(partners)))
        return random.sample(made[len(inputs) :], 3)

    return trace_matrices(step, PythonMatrix, *[(*shape, dtype) for shape in shapes])


@pytest.mark.parametrize("seed", range(60))
def test_random_programs_are_bit_for_bit_what_the_kernels_make_in_float64(seed):
    program = random_program(seed, "float64")
    random = Random(seed)
    given = [matrix(v.shape, v.dtype, [random.uniform(-1.5, 1.5) for _ in range(v.size)]) for v in program.arguments]

    def results(run):
        arguments = [x.reshape(*x.shape) for x in given]
        return [[(v, math.copysign(1, v)) if v == v else "nan" for v in x.data] for x in (*run(*arguments), *arguments)]

    def by_kernels(*arguments):
        known = dict(zip(program.arguments, arguments, strict=True))
        known |= {v: PythonMatrix.full(*v.shape, c.content, v.dtype) for v, c in program.constants.items()}
        for each in program.body:
            known[each.output] = PythonMatrix.kernels[each.op](*[known[v] for v in each.inputs], **each.params)
        outputs = [known[v].reshape(*v.shape) for v in program.outputs]
        written = [known[program.updates.get(v, v)].reshape(*v.shape) for v in program.arguments]
        for x, y in zip(arguments, written, strict=True):
            x.assign(y)
        return outputs

    expected = results(by_kernels)
    assert results(PythonMatrix.compile(program)) == expected
    assert results(PythonMatrix.compile(optimise(program))) == expected


# The source --------------------------------------------------------------------------------------------------------


def test_equal_layers_share_one_function():
    def layers(x, *weights):
        for w in weights:
            x = ops.relu(ops.matmul(x, w))
        return x

    program = optimise(trace_matrices(layers, PythonMatrix, (3, 16), *[(16, 16)] * 9))
    source = PythonMatrix.compile(program).source
    assert source.count("def matmul_relu") == 1
    assert source.count("= matmul_relu") == 9


def test_a_long_program_is_compiled_in_parts_and_keeps_no_value_longer_than_it_needs():
    def long(x, y):
        first = x
        for _ in range(1000):
            x = ops.transpose(ops.transpose(x) + 1.0)
        return x + first * y

    program = trace_matrices(long, PythonMatrix, (1, 2, "float64"), (1, 2, "float64"))
    run = PythonMatrix.compile(program)
    assert run.source.count("def part") > 5
    assert numbers(*run(row(1.0, 2.0), row(10.0, 10.0))) == [[1011.0, 1022.0]]
    made = {value for step in program.body for value in step.outputs}
    names = program.names()
    kept = {names[v] for v in made if f'values["{names[v]}"]' in run.source}
    passed_on = {name for name in kept if f'values.pop("{name}")' in run.source}
    assert kept - passed_on == {names[program.outputs[0]]}
    assert all(isinstance(v, Value) for v in made)
