"""The eager kernels at awkward shapes, as vectors and as groups of work-items, against NumPy in float64."""

import copy
import pickle
import threading

import numpy as np
import pytest

from pycrograd_core.op import TABLE
from pycrograd_opencl.eager.elementwise import arity
from pycrograd_opencl.expressions import ELEMENTWISE
from pycrograd_opencl.matrix import matrix_on

SHAPES = [
    ((1, 1), (1, 1)), ((3, 5), (3, 5)), ((3, 5), (1, 5)), ((3, 1), (3, 5)), ((7, 1), (1, 9)), ((1, 1), (255, 257)),
    ((2, 4097), (1, 4097)), ((4099, 2), (4099, 1)), ((129, 127), (129, 127)), ((1, 100_003), (1, 1)),
    ((0, 3), (1, 3)), ((3, 0), (3, 1)), ((0, 1), (1, 0)),
]  # fmt: skip
REDUCED = [
    (1, 1), (1, 100_001), (100_001, 1), (3, 40_001), (40_001, 3), (1153, 255), (2, 9), (9, 2), (33, 1025)
]  # fmt: skip
TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    return lambda shape, dtype="float32", low=0.5, high=1.5: generator.uniform(low, high, shape).astype(dtype)


def put(matrix, array):
    return matrix.from_host(np.ascontiguousarray(array), *array.shape, str(array.dtype))


def got(x):
    return np.frombuffer(x.to_host(), x.dtype).reshape(x.shape)


# Elementwise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_operands_of_every_shape(matrix, drawn, dtype, shapes):
    a, b = (drawn(shape, dtype) for shape in shapes)
    np.testing.assert_array_equal(got(put(matrix, a).subtract(put(matrix, b))), a - b)
    np.testing.assert_array_equal(got(put(matrix, b).subtract(put(matrix, a))), b - a)
    chosen = got(put(matrix, a - 1).where(put(matrix, b), put(matrix, a[:1, :1] if a.size else b[:1, :1])))
    np.testing.assert_array_equal(chosen, np.broadcast_to(b, chosen.shape) if a.size else chosen)


@pytest.mark.parametrize("op", sorted(ELEMENTWISE - {"broadcast_to"}))
def test_a_result_may_take_the_place_of_an_operand(matrix, drawn, op):
    params = next(iter(TABLE[op].samples)).params
    operands = [drawn((1, 1) if op in ("sgd_update", "adam_update") and i > 2 else (5, 1001)) for i in range(arity(op))]
    if op == "sgd_update":
        operands[2] = drawn((1, 1))
    expected = got(getattr(put(matrix, operands[0]), op)(*[put(matrix, x) for x in operands[1:]], **params))
    place = put(matrix, operands[0])
    result = getattr(place, op)(*[put(matrix, x) for x in operands[1:]], out=place, **params)
    assert result is place
    np.testing.assert_array_equal(got(place), expected)


# Reductions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("shape", REDUCED, ids=str)
def test_reductions(matrix, drawn, dtype, shape, axis):
    x = drawn(shape, dtype)
    exact = x.astype(np.float64)
    there = put(matrix, x)
    np.testing.assert_allclose(got(there.sum(axis)), exact.sum(axis, keepdims=True), rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(got(there.mean(axis)), exact.mean(axis, keepdims=True), rtol=TOLERANCE[dtype])
    np.testing.assert_array_equal(got(there.max(axis)), x.max(axis, keepdims=True))
    np.testing.assert_array_equal(got(there.argmax(axis)), x.argmax(axis, keepdims=True))
    np.testing.assert_array_equal(got(there.sum(axis)), got(there.sum(axis)))


def test_a_million_numbers_keep_their_digits(matrix):
    x = np.full((1, 1_000_000), 0.1, np.float32)
    for there, axis in ((put(matrix, x), 1), (put(matrix, x), None), (put(matrix, x.T), 0)):
        assert got(there.sum(axis)).item() == pytest.approx(x.astype(np.float64).sum(), rel=1e-6)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("shape", [(3, 40_001), (40_001, 3), (1, 7)], ids=str)
def test_what_is_no_finite_number(matrix, drawn, shape, special):
    x = drawn(shape)
    x[shape[0] // 2, shape[1] // 2] = special
    x[-1, -1] = special
    there = put(matrix, x)
    for axis in (None, 0, 1):
        np.testing.assert_allclose(got(there.sum(axis)), x.astype(np.float64).sum(axis, keepdims=True), rtol=2e-6)
        np.testing.assert_array_equal(got(there.max(axis)), x.max(axis, keepdims=True))
        np.testing.assert_array_equal(got(there.argmax(axis)), x.argmax(axis, keepdims=True))


def test_sums_of_nothing(matrix):
    for shape in ((0, 3), (3, 0), (0, 0)):
        for axis in (None, 0, 1):
            expected = np.zeros(shape, np.float32).sum(axis, keepdims=True)
            np.testing.assert_array_equal(got(put(matrix, np.zeros(shape, np.float32)).sum(axis)), expected)


# Rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (255, 10), (3, 1153), (1025, 2)], ids=str)
def test_softmax_and_cross_entropy(matrix, drawn, dtype, shape):
    x, labels = drawn(shape, dtype, -20, 20), np.arange(shape[0], dtype=np.int32).reshape(-1, 1) % shape[1]
    exact = x.astype(np.float64)
    logits, right, g = put(matrix, x), put(matrix, labels), put(matrix, np.full((1, 1), 0.7, dtype))
    tolerance = {"rtol": 5 * TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    for axis in (0, 1):
        e = np.exp(exact - exact.max(axis, keepdims=True))
        share = e / e.sum(axis, keepdims=True)
        np.testing.assert_allclose(got(logits.softmax(axis)), share, **tolerance)
        np.testing.assert_allclose(got(logits.log_softmax(axis)), np.log(share), **tolerance)
    loss = -np.log(np.take_along_axis(share, labels, 1)).mean()
    assert got(logits.cross_entropy(right)).item() == pytest.approx(loss, rel=5 * TOLERANCE[dtype])
    gradient = (share - (labels == np.arange(shape[1]))) * (0.7 / shape[0])
    np.testing.assert_allclose(got(g.cross_entropy_gradient(logits, right)), gradient, **tolerance)
    assert got(logits.count_correct(right)).item() == (x.argmax(1) == labels[:, 0]).sum()


@pytest.mark.parametrize("row", [[1, 2, 2], [2, 2, 1], [np.nan, 1, np.nan], [1, np.nan, 5], [-np.inf] * 3])
def test_a_row_is_right_where_its_first_greatest_element_is(matrix, row):
    logits = put(matrix, np.array([row], np.float32))
    for label in range(3):
        hits = got(logits.count_correct(put(matrix, np.array([[label]], np.int32)))).item()
        assert hits == (np.argmax(row) == label)


# Layout ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (257, 129), (2, 5000), (0, 4)], ids=str)
def test_layout(matrix, shape, dtype):
    rows, cols = shape
    x = np.arange(rows * cols).reshape(shape).astype(dtype)
    there = put(matrix, x)
    np.testing.assert_array_equal(got(there.transpose()), x.T)
    np.testing.assert_array_equal(got(there.reshape(cols, rows)), x.reshape(cols, rows))
    np.testing.assert_array_equal(got(there.slice(rows // 2, rows, cols // 3, cols)), x[rows // 2 :, cols // 3 :])
    np.testing.assert_array_equal(got(there.concat(there, there, axis=0)), np.concatenate([x] * 3, axis=0))
    np.testing.assert_array_equal(got(there.concat(there, axis=1)), np.concatenate([x, x], axis=1))
    np.testing.assert_array_equal(got(matrix.full(rows, cols, 7, dtype)), np.full(shape, 7, dtype))
    indices = (np.arange(11) * 5 % max(rows, 1)).astype(np.int32).reshape(-1, 1)
    if rows:
        np.testing.assert_array_equal(got(there.take_rows(put(matrix, indices))), x[indices[:, 0]])
        np.testing.assert_array_equal(got(put(matrix, x[:1]).broadcast_to(4, cols)), np.repeat(x[:1], 4, axis=0))


def test_repeated_rows_add_up_in_their_order(matrix, drawn, dtype):
    x, updates = drawn((5, 130), dtype), drawn((1000, 130), dtype)
    indices = (np.arange(1000) * 7 % 5).astype(np.int32).reshape(-1, 1)
    expected = x.copy()
    np.add.at(expected, indices[:, 0], updates)
    there, rows, addends = put(matrix, x), put(matrix, indices), put(matrix, updates)
    np.testing.assert_array_equal(got(there.add_rows(rows, addends)), expected)
    np.testing.assert_array_equal(got(there), x)
    assert there.add_rows(rows, addends, out=there) is there
    np.testing.assert_array_equal(got(there), expected)


@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("extents", [(1, 1, 1), (5, 3, 7), (33, 65, 129), (3, 4, 0), (0, 4, 3)], ids=str)
def test_products(matrix, drawn, dtype, extents, transpose_a, transpose_b):
    rows, cols, inner = extents
    a, b = drawn((rows, inner), dtype, -1, 1), drawn((inner, cols), dtype, -1, 1)
    left, right = put(matrix, a.T if transpose_a else a), put(matrix, b.T if transpose_b else b)
    found = got(left.matmul(right, transpose_a, transpose_b))
    np.testing.assert_allclose(found, a.astype(np.float64) @ b, rtol=0, atol=10 * TOLERANCE[dtype] * (1 + inner**0.5))


# Launches ----------------------------------------------------------------------------------------------------------


def test_a_new_shape_builds_nothing(matrix, drawn, monkeypatch):
    def step(rows, cols):
        x = put(matrix, drawn((rows, cols)))
        y = x.matmul(x, transpose_b=True).softmax().add(x.sum(1)).multiply(matrix.number(2.0, "float32"))
        return y.transpose().slice(0, 1, 0, rows).broadcast_to(3, rows).max()

    step(5, 7)
    monkeypatch.setattr(matrix.runtime, "program", None)
    for rows, cols in ((6, 7), (17, 3), (1, 90)):
        step(rows, cols)


def test_a_kernel_that_is_known_gets_its_arguments_at_each_launch(matrix):
    a, b = (put(matrix, np.full((2, 2), value, np.float32)) for value in (1, 2))
    first, second = a.add(a), b.add(b)
    assert (got(first).max(), got(second).max()) == (2, 4)


def test_threads_share_a_device(matrix, drawn):
    wrong = []

    def work(number):
        x = np.full((number + 1, 50), number, np.float32)
        for _ in range(200):
            y = put(matrix, x)
            y = y.add(y).multiply(y).sum(1)
            if not np.array_equal(got(y), np.full((number + 1, 1), 2 * number * number * 50, np.float32)):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_copy_is_a_matrix_of_its_own(pocl, drawn):
    kind = matrix_on(pocl)
    array = drawn((3, 5))
    x = put(kind, array)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert type(y) is kind
        x.assign(put(kind, array + 1))
        np.testing.assert_array_equal(got(y), array)
        x.assign(put(kind, array))
