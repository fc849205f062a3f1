"""Compiled programs against the kernels: every op and every kind of region, in float64 bit for bit."""

from __future__ import annotations

import math
from array import array
from random import Random

import pytest

from pycrograd_core import ops
from pycrograd_core.capture.program import check, region
from pycrograd_core.capture.recorder import trace_matrices
from pycrograd_core.matrix import FORMATS
from pycrograd_core.op import TABLE
from pycrograd_core.random import RandomStream
from pycrograd_python.expressions import EXPRESSIONS
from pycrograd_python.matrix import PythonMatrix

DTYPES = ("float32", "float64")
FUSED = [name for name in EXPRESSIONS if name != "broadcast_to"]
FIXED = {"sgd_update": 2, "accumulate": 2, "adam_update": 3}
inf, nan = math.inf, math.nan


@pytest.fixture(params=DTYPES)
def dtype(request):
    return request.param


def matrix(shape, dtype, numbers):
    """A matrix of these numbers, row by row."""
    return PythonMatrix.from_host(array(FORMATS[dtype], numbers), *shape, dtype)


def drawn(program, seed=0):
    """A matrix for each argument: indices below 3, numbers between -1.5 and 1.5 of which a fifth are zeros."""
    random = Random(seed)

    def number(kind):
        return random.randrange(3) if kind == "int32" else random.choice([1, 1, 1, 1, 0]) * random.uniform(-1.5, 1.5)

    return [matrix(v.shape, v.dtype, [number(v.dtype) for _ in range(v.size)]) for v in program.arguments]


def copied(matrices):
    return [x.reshape(*x.shape) for x in matrices]


def by_kernels(program, arguments):
    """The outputs and what the arguments hold afterwards, with each instruction run by its kernel."""
    known = dict(zip(program.arguments, arguments, strict=True)) | dict(program.states)
    for value, constant in program.constants.items():
        known[value] = PythonMatrix.full(*value.shape, constant.content, value.dtype)
    for instruction in program.instructions:
        inputs = [known[value] for value in instruction.inputs]
        known[instruction.output] = PythonMatrix.kernels[instruction.op](*inputs, **instruction.params)
    return [known[v] for v in program.outputs] + [known[program.updates.get(v, v)] for v in program.arguments]


def by_source(program, arguments):
    """The same by the compiled program, and that."""
    given = copied(arguments)
    run = PythonMatrix.compile(program)
    return [*run(*given), *given], run


def bits(x):
    """What a matrix holds: each number so that a nan is a nan and -0.0 is not 0.0."""
    return x.shape, x.dtype, ["nan" if math.isnan(v) else (v, math.copysign(1, v)) for v in x.data]


def far(found, expected):
    """How far two matrices are apart, as a share of the greatest number (0 where neither is finite and both agree)."""
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    size = max((abs(v) for v in expected.data if math.isfinite(v)), default=0) or 1.0
    pairs = zip(found.data, expected.data, strict=True)
    apart = [0.0 if a == b or (a != a and b != b) else abs(a - b) / size if math.isfinite(b) else inf for a, b in pairs]
    return max(apart, default=0.0)


def agree(program, arguments, tolerance=1e-6):
    """Assert that compiled source and kernels agree: in float64 to the last bit. Returns the compiled program."""
    check(program)
    found, run = by_source(program, arguments)
    for a, b in zip(found, by_kernels(program, arguments), strict=True):
        if "float32" in {value.dtype for value in program.arguments}:
            assert far(a, b) <= tolerance, run.source
        else:
            assert bits(a) == bits(b), run.source
    return run


def whole(kind, program, *also):
    """The program as one region; `also` are positions of instructions whose results are read outside."""
    results = {*program.results, *[program.body[position].output for position in also]}
    outputs = (*program.outputs, *[program.body[position].output for position in also])
    return program.with_body([region(kind, program.body, results.__contains__)], outputs=outputs)


def fuses(run):
    """Whether a compiled program has no kernel in it but those that take over when Python raises."""
    return "_kernel" not in run.source


# Every op ----------------------------------------------------------------------------------------------------------

SAMPLES = [(op, number) for op in TABLE for number in range(len(TABLE[op].samples))]


@pytest.mark.parametrize(("name", "number"), SAMPLES)
def test_every_op_is_what_its_kernel_is(name, number, dtype):
    op, sample = TABLE[name], TABLE[name].samples[number]
    arrays = sample.draw(RandomStream(5))
    shapes = [(*x.shape, "int32" if x.dtype == "int32" else dtype) for x in arrays]
    params = dict(sample.params) | ({"dtype": dtype} if name == "one_hot" else {})
    program = trace_matrices(lambda *inputs: op(*inputs, **params), PythonMatrix, *shapes)
    inputs = [matrix(s[:2], s[2], x.ravel().tolist()) for s, x in zip(shapes, arrays, strict=True)]
    found, _ = by_source(program, inputs)
    assert list(map(bits, found)) == list(map(bits, by_kernels(program, inputs)))
    agree(whole("elementwise", program), inputs)


@pytest.mark.parametrize("name", FUSED)
def test_an_elementwise_op_is_fused_however_its_operands_broadcast(name, dtype):
    sample = TABLE[name].samples[0]
    fixed = FIXED.get(name, 1)  # operands that have the shape of the result
    for shape in ((4, 3), (1, 3), (4, 1), (1, 1)):
        others = [(4, 3) if i < fixed else (1, 1) if name in FIXED else shape for i in range(len(sample.inputs))]
        program = trace_matrices(
            lambda x, *inputs: ops.negative(TABLE[name](ops.abs(x), *inputs, **sample.params)) + x,
            PythonMatrix,
            *[(*s, dtype) for s in others],
        )
        arguments = drawn(program)
        for x in arguments:  # within every op's domain
            x.data[:] = array(x.data.typecode, [abs(v) + 0.25 for v in x.data])
        run = agree(whole("elementwise", program), arguments)
        assert fuses(run)
        assert not run.exceptions


# Regions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5, 8, 10, 11, 12, 16, 40, 64, 70, 130])
@pytest.mark.parametrize(("turned_a", "turned_b"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("m", "n"), [(4, 3), (1, 3), (4, 1)])
def test_products_of_all_layouts_and_lengths(k, turned_a, turned_b, m, n, dtype):
    program = trace_matrices(
        lambda a, b, y: ops.relu_gradient(ops.matmul(a, b, transpose_a=turned_a, transpose_b=turned_b), y),
        PythonMatrix,
        *[((k, m) if turned_a else (m, k)) + (dtype,), ((n, k) if turned_b else (k, n)) + (dtype,), (m, n, dtype)],
    )
    run = agree(whole("product", program), drawn(program))
    assert fuses(run)
    assert not run.exceptions
    assert ("product(" in run.source) <= (k > 64)


EPILOGUES = {
    "relu": lambda y, row, column, full, number: ops.relu(y),
    "everything that broadcasts": lambda y, row, column, full, number: (y + row) * column - full * number,
    "a mask twice": lambda y, row, column, full, number: (lambda z: z * z + z)(ops.relu_gradient(y, full)),
    "long": lambda y, row, column, full, number: ops.tanh(
        ops.relu(y) * 2.0 + ops.sigmoid(y) * y - ops.maximum(y, full)
    ),
    "a choice": lambda y, row, column, full, number: ops.where(ops.greater(full, 0.0), y, row),
}


@pytest.mark.parametrize("name", EPILOGUES)
@pytest.mark.parametrize("k", [6, 40, 130])
@pytest.mark.parametrize("biased", [False, True])
def test_what_follows_a_product(name, k, biased, dtype):
    def product(x, w, b, column, full, number):
        y = ops.linear(x, w, b) if biased else ops.matmul(x, w)
        return EPILOGUES[name](y, b, column, full, number)

    shapes = [(5, k), (k, 4), (1, 4), (5, 1), (5, 4), (1, 1)]
    program = trace_matrices(product, PythonMatrix, *[(*s, dtype) for s in shapes])
    assert fuses(agree(whole("product", program), drawn(program)))
    assert fuses(agree(whole("product", program, 0), drawn(program)))  # the product itself is read outside too


UPDATES = {
    "sgd": lambda w, v, s, g, r: w.update(ops.sgd_update, (w, g, r), {}),
    "decay": lambda w, v, s, g, r: w.update(ops.sgd_update, (w, ops.accumulate(g, w, decay=1.0, weight=0.1), r), {}),
    "momentum": lambda w, v, s, g, r: (
        v.update(ops.accumulate, (v, g), {"decay": 0.9, "weight": 1.0}),
        w.update(ops.sgd_update, (w, v, r), {}),
    ),
    "adam": lambda w, v, s, g, r: (
        v.update(ops.accumulate, (v, g), {"decay": 0.9, "weight": 0.1}),
        s.update(ops.accumulate, (s, g * g), {"decay": 0.99, "weight": 0.01}),
        w.update(ops.adam_update, (w, v, ops.abs(s), r, r, r), {"epsilon": 1e-8}),
    ),
}


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("batch", [7, 32])
@pytest.mark.parametrize("bias", [False, True])
def test_updates_with_their_gradient(name, batch, bias, dtype):
    def update(x, g, r, w, v, s):
        UPDATES[name](w, v, s, ops.sum(g, axis=0) if bias else ops.matmul(x, g, transpose_a=True), r)
        return []

    weights = [(1 if bias else 6, 5, dtype)] * 3
    program = trace_matrices(update, PythonMatrix, (batch, 6, dtype), (batch, 5, dtype), (1, 1, dtype), *weights)
    arguments = drawn(program, 1)
    arguments[2].data[0] = 0.3
    run = agree(whole("update", program), arguments, tolerance=1e-5 if name == "adam" else 1e-6)
    assert fuses(run)
    assert not run.exceptions


def test_losses_of_a_batch(dtype):
    def losses(g, logits, labels):
        return (
            ops.cross_entropy(logits, labels),
            ops.count_correct(logits, labels),
            ops.cross_entropy_gradient(g, logits, labels),
        )

    shapes = [(1, 1, dtype), (6, 3, dtype), (6, 1, "int32")]
    program = trace_matrices(losses, PythonMatrix, *shapes)
    for spoilt in (0.5, nan, inf, -inf, 1e4):
        arguments = drawn(program)
        arguments[1].data[4] = spoilt
        found, run = by_source(whole("cross_entropy", program), arguments)
        assert fuses(run)
        assert list(map(bits, found)) == list(map(bits, by_kernels(program, arguments)))
    some = program.with_body(program.body[1:], outputs=program.outputs[1:])
    assert fuses(agree(whole("cross_entropy", some), arguments, 0.0))
    without = program.with_body(program.body[:2], outputs=program.outputs[:2])
    assert fuses(agree(whole("cross_entropy", without), arguments, 0.0))


def test_losses_that_are_no_single_batch_are_computed_all_the_same(dtype):
    def losses(logits, labels):
        loss = ops.cross_entropy(logits, labels)
        return loss, ops.cross_entropy(logits, labels), ops.cross_entropy_gradient(loss, logits, labels)

    program = trace_matrices(losses, PythonMatrix, (6, 3, dtype), (6, 1, "int32"))
    agree(whole("cross_entropy", program), drawn(program))


@pytest.mark.parametrize("reduce", ["sum", "max"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_reductions_at_the_end_of_a_loop_and_at_its_start(reduce, axis, dtype):
    op = TABLE[reduce]
    program = trace_matrices(
        lambda x, y: (op(x * y, axis=axis), op(ops.exp(x), axis=None)), PythonMatrix, *[(5, 4, dtype)] * 2
    )
    assert fuses(agree(whole("elementwise", program), drawn(program)))
    assert fuses(agree(whole("elementwise", program, 0, 2), drawn(program)))
    shape = {None: (1, 1), 0: (1, 4), 1: (5, 1)}[axis]
    program = trace_matrices(lambda x, y: op(x, axis=axis) * y, PythonMatrix, (5, 4, dtype), (*shape, dtype))
    assert fuses(agree(whole("elementwise", program), drawn(program)))
    assert fuses(agree(whole("elementwise", program, 0), drawn(program)))


def test_a_region_that_is_no_loop_is_taken_apart(dtype):
    def mixed(x, w, y):
        h = ops.matmul(x, w)
        return ops.matmul(ops.softmax(h), y) + ops.sum(h), ops.transpose(h), ops.sum(h) * 2.0

    program = trace_matrices(mixed, PythonMatrix, (4, 5, dtype), (5, 3, dtype), (3, 4, dtype))
    nested = region("rows", [region("product", program.body[:1], lambda v: True), *program.body[1:]], lambda v: True)
    agree(program.with_body([nested]), drawn(program))
    agree(whole("elementwise", program), drawn(program))


def test_matrices_without_elements(dtype):
    program = trace_matrices(lambda x, w: ops.relu(ops.matmul(x, w)) + 1.0, PythonMatrix, (0, 3, dtype), (3, 2, dtype))
    agree(whole("product", program), drawn(program))
    program = trace_matrices(lambda x, w: ops.relu(ops.matmul(x, w)), PythonMatrix, (2, 0, dtype), (0, 3, dtype))
    agree(whole("product", program), drawn(program))


# Special values ----------------------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -2.5, 0.5, inf, -inf, nan, 1e4, -1e4, 401.0, 2.0]
ODD = [name for name in FUSED if name not in ("sgd_update", "accumulate", "adam_update")]


@pytest.mark.parametrize("name", ODD)
def test_special_values_are_those_of_the_kernels(name, dtype):
    """Where Python raises, the kernels run the region again; what came before is not lost, and nothing is written."""
    op = TABLE[name]
    count = len(op.samples[0].inputs)
    pairs = [(a, b) for a in SPECIAL for b in SPECIAL]
    program = trace_matrices(
        lambda *x: (y := ops.negative(op(*x)), ops.negative(y)), PythonMatrix, *[(len(pairs), 1, dtype)] * count
    )
    columns = [[a for a, _ in pairs], [b for _, b in pairs], [a for a, _ in reversed(pairs)]]
    arguments = [matrix((len(pairs), 1), dtype, column) for column in columns[:count]]
    found, run = by_source(whole("elementwise", program), arguments)
    assert list(map(bits, found)) == list(map(bits, by_kernels(program, arguments)))
    assert run.exceptions == (name in ("exp", "log", "sqrt", "divide", "power"))


def test_adam_where_python_raises(dtype):
    def update(w, m, s, g, one):
        m.update(ops.accumulate, (m, g), {"decay": 0.5, "weight": 0.5})
        w.update(ops.adam_update, (w, m, s, one, one, one), {"epsilon": 0.0})
        return []

    program = trace_matrices(update, PythonMatrix, *[(2, 2, dtype)] * 4, (1, 1, dtype))
    numbers = [[1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 0.0, -1.0], [4.0, 0.0, 0.0, -1.0], [1.0, 3.0, 0.0, 1.0]]
    arguments = [matrix((2, 2), dtype, x) for x in numbers] + [matrix((1, 1), dtype, [1.0])]
    assert agree(whole("update", program), arguments).exceptions == 1


def test_a_comparison_sees_numbers_as_float32_holds_them():
    program = trace_matrices(lambda x, y: ops.equal(x * 3.0, y), PythonMatrix, (1, 4), (1, 4))
    x = matrix((1, 4), "float32", [0.1, 0.2, 0.3, 0.7])
    y = ops.multiply(x, 3.0)
    assert list(by_source(whole("elementwise", program), [x, y])[0][0].data) == [1.0] * 4


# Products by distances: float32, and at least 12 products to sum -----------------------------------------------------


def product_of(a, b):
    """The product of rows and columns, by distances and by the kernel, and the compiled program."""
    m, k, n = len(a), len(a[0]), len(b[0])
    program = trace_matrices(ops.matmul, PythonMatrix, (m, k), (k, n))
    arguments = [
        matrix((m, k), "float32", [x for row in a for x in row]),
        matrix((k, n), "float32", [x for row in b for x in row]),
    ]
    (found, *_), run = by_source(program, arguments)
    assert "map(dist, " in run.source
    return found, by_kernels(program, arguments)[0], run


def numbers(rows, cols, scale=1.0, seed=0):
    random = Random(seed)
    return [[random.gauss(0, 1) * scale for _ in range(cols)] for _ in range(rows)]


@pytest.mark.parametrize("k", [12, 33, 200])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-12, 1e15, 1e-30])
def test_products_by_distances_are_exact_whatever_the_scale(k, scale):
    found, expected, run = product_of(numbers(5, k, scale), numbers(k, 6, 1.0, 1))
    assert far(found, expected) < 1.2e-7
    assert not run.exceptions


@pytest.mark.parametrize("steps", [(2, 0), (0, 2), (0.5, 2), (2, 2), (0, 7), (0.5, 7)])
def test_rows_and_columns_of_very_different_norms_keep_their_digits(steps):
    """Row i is 10^(-i · steps[0]) of the first, and a column likewise: each result is judged by its own norms."""
    rows = [[x * 10.0 ** (-steps[0] * i) for x in row] for i, row in enumerate(numbers(5, 20))]
    columns = [[x * 10.0 ** (-steps[1] * j) * 1e-3 for x in row] for j, row in enumerate(numbers(5, 20, 1.0, 1))]
    found, expected, run = product_of(rows, [list(row) for row in zip(*columns, strict=True)])
    assert not run.exceptions
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            size = math.hypot(*row) * math.hypot(*column)
            assert abs(found.data[5 * i + j] - expected.data[5 * i + j]) <= max(1e-7 * size, 1e-44)


@pytest.mark.parametrize("value", [nan, inf, -inf, 1e-30, 3e38])
def test_what_distances_cannot_tell_the_kernels_compute(value):
    a, b = numbers(4, 15), numbers(15, 3, 1.0, 1)
    a[2] = [value] * 15
    b[7] = [3e38, 1e-30, 0.0]
    found, expected, run = product_of(a, b)
    assert run.exceptions == 1
    assert bits(found) == bits(expected)


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_one_number_that_is_not_finite_is_enough(value):
    for place in range(2):
        a, b = numbers(4, 15), numbers(15, 3, 1.0, 1)
        (a, b)[place][2][1] = value
        found, expected, run = product_of(a, b)
        assert run.exceptions == 1
        assert bits(found) == bits(expected)


def test_products_that_are_zero_or_whole_are_so_exactly():
    """Of vectors that share no place, of zeros, and of small whole numbers: relu and count see no noise."""
    random = Random(0)
    a = [[float(random.randrange(-3, 4)) for _ in range(24)] for _ in range(6)]
    a[0] = [0.0] * 24
    a[1] = [0.37] * 12 + [0.0] * 12
    b = [[0.0 if i < 12 else 0.11, 0.0, *map(float, random.choices(range(-3, 4), k=3))] for i in range(24)]
    found, expected, _ = product_of(a, b)
    assert found.data[0:5].tolist() == [0.0] * 5
    assert found.data[5] == 0.0
    for i in range(2, 6):
        assert found.data[5 * i + 1 : 5 * i + 5] == expected.data[5 * i + 1 : 5 * i + 5]
