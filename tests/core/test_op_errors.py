"""What every op refuses: shapes, dtypes, indices and backends that do not fit. Generated from the op table."""

from itertools import permutations

import numpy as np
import pytest

from places import BACKENDS
from pycrograd_core import Tensor, no_grad, use_backend
from pycrograd_core.errors import BackendMismatchError, DtypeError, IndexRangeError, ShapeError
from pycrograd_core.op import INDEX_DTYPE
from pycrograd_core.ops import TABLE
from pycrograd_core.ops.shapes import elementwise, same, transposed
from pycrograd_core.random import RandomStream

INDEXED = [op for op in TABLE.values() if op.indices]
MIXABLE = [op for op in TABLE.values() if len(op.samples[0].inputs) - len(op.indices) > 1]

WRONG = {  # shapes and parameters that no op of the name accepts
    "sum": [([(3, 4)], {"axis": 2}), ([(3, 4)], {"axis": -1})],
    **{
        name: [([(3, 4)], {"axis": 2}), ([(0, 4)], {"axis": 0}), ([(3, 0)], {"axis": 1}), ([(3, 0)], {})]
        for name in ("max", "min", "mean", "argmax")
    },
    **{
        name: [([(3, 4)], {"axis": None}), ([(3, 4)], {"axis": -1}), ([(3, 0)], {"axis": 1}), ([(0, 3)], {"axis": 0})]
        for name in ("softmax", "log_softmax")
    },
    "matmul": [
        ([(3, 4), (3, 4)], {}),
        ([(3, 4), (4, 3)], {"transpose_a": True}),
        ([(3, 4), (4, 3)], {"transpose_b": True}),
        ([(3, 4), (2, 4)], {"transpose_a": True, "transpose_b": True}),
    ],
    "linear": [([(3, 4), (3, 5), (1, 5)], {}), ([(3, 4), (4, 5), (1, 4)], {}), ([(3, 4), (4, 5), (3, 5)], {})],
    "reshape": [([(3, 4)], {"rows": 5, "cols": 2}), ([(3, 4)], {"rows": -3, "cols": -4})],
    "broadcast_to": [([(3, 4)], {"rows": 6, "cols": 4}), ([(1, 4)], {"rows": 3, "cols": 5})],
    "slice": [
        ([(3, 4)], {"row_start": 0, "row_stop": 4, "col_start": 0, "col_stop": 4}),
        ([(3, 4)], {"row_start": -1, "row_stop": 2, "col_start": 0, "col_stop": 4}),
        ([(3, 4)], {"row_start": 0, "row_stop": 3, "col_start": 3, "col_stop": 2}),
    ],
    "pad": [([(3, 4)], {"above": -1, "below": 0, "left": 0, "right": 0})],
    "concat": [([(3, 4), (3, 5)], {"axis": 0}), ([(3, 4), (2, 4)], {"axis": 1}), ([(3, 4), (3, 4)], {"axis": None})],
    "take_rows": [([(3, 4), (2, 2)], {}), ([(3, 4), (1, 2)], {})],
    "add_rows": [([(3, 4), (2, 2), (2, 4)], {}), ([(3, 4), (2, 1), (3, 4)], {}), ([(3, 4), (2, 1), (2, 3)], {})],
    "one_hot": [([(2, 2)], {"classes": 3}), ([(2, 1)], {"classes": 0})],
    **{name: [([(3, 4), (2, 1)], {}), ([(3, 4), (3, 4)], {}), ([(0, 4), (0, 1)], {})]
       for name in ("cross_entropy", "count_correct")},
    "cross_entropy_gradient": [([(1, 1), (3, 4), (2, 1)], {}), ([(3, 1), (3, 4), (3, 1)], {})],
    **{name: [([(3, 4), (3, 1)], {}), ([(1, 4), (3, 4)], {}), ([(0, 4), (0, 4)], {})]
       for name in ("mean_squared_error", "max_margin", "count_same_sign")},
    "layer_norm": [
        ([(3, 4), (1, 3), (1, 4)], {"epsilon": 1e-5}),
        ([(3, 4), (1, 4), (3, 4)], {"epsilon": 1e-5}),
        ([(3, 0), (1, 0), (1, 0)], {"epsilon": 1e-5}),
    ],
    "sgd_update": [
        *[([(3, 4), shape, (1, 1)], {}) for shape in ((3, 1), (1, 1))],
        *[([(3, 4), (3, 4), shape], {}) for shape in ((3, 4), (1, 4))],
        ([(1, 1), (3, 4), (1, 1)], {}),
    ],
    "accumulate": [([(3, 4), (4, 3)], {"decay": 0.9, "weight": 0.1})],
    "adam_update": [([(3, 4), (3, 4), (3, 4), (3, 1), (1, 1), (1, 1)], {"epsilon": 1e-8})],
}  # fmt: skip
for _op in TABLE.values():
    if _op.shape is elementwise:
        _rest = [(1, 1)] * (len(_op.samples[0].inputs) - 2)
        WRONG[_op.name] = [([a, b, *_rest], _op.samples[0].params) for a, b in (((3, 4), (2, 4)), ((3, 4), (3, 0)))]


def test_every_shape_rule_that_can_refuse_is_tested():
    assert {op.name for op in TABLE.values() if op.shape not in (same, transposed)} == WRONG.keys()


@pytest.mark.parametrize(
    ("op", "shapes", "params"),
    [
        pytest.param(TABLE[name], *case, id=f"{name}-{i}")
        for name, found in WRONG.items()
        for i, case in enumerate(found)
    ],
)
@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "recorded"])
def test_a_shape_error_names_the_op_and_the_shapes(op, shapes, params, recorded, backend):
    inputs = [
        Tensor(np.zeros(shape, "int32"), dtype=INDEX_DTYPE) if i in op.indices else Tensor(np.zeros(shape), recorded)
        for i, shape in enumerate(shapes)
    ]
    with pytest.raises(ShapeError) as caught:
        op(*inputs, **params)
    assert (caught.value.op, list(caught.value.shapes)) == (op.name, shapes)
    operands = ", ".join(f"{rows}×{cols}" for rows, cols in shapes)
    assert str(caught.value).startswith(f"{op.name}({operands}): ")


def drawn(op, dtype="float32"):
    arrays = op.samples[0].draw(RandomStream(0, op.name))
    return [Tensor(x, dtype=INDEX_DTYPE if i in op.indices else dtype) for i, x in enumerate(arrays)]


@pytest.mark.parametrize("op", INDEXED, ids=str)
@pytest.mark.parametrize("known", [True, False], ids=["known", "read"])
@pytest.mark.parametrize("wrong", [-1, "bound"])
def test_indices_out_of_range(op, known, wrong, backend):
    """Whether their limits are known since they were uploaded, or have to be read back."""
    inputs, params = drawn(op), op.samples[0].params
    position = op.indices[0]
    op(*inputs, **params)
    indices = inputs[position].numpy()
    bound = op.index_bound(*inputs, **params)
    indices[1] = bound - 1
    inputs[position] = Tensor(indices, dtype=INDEX_DTYPE)
    op(*inputs, **params)
    indices[1] = bound if wrong == "bound" else wrong
    inputs[position] = Tensor(indices, dtype=INDEX_DTYPE)
    if not known:
        inputs[position].value.limits = None
    with pytest.raises(
        IndexRangeError, match=rf"{op.name}: index {indices[1, 0]} at position 1 is outside 0 … {bound - 1}"
    ):
        op(*inputs, **params)


def test_overwritten_indices_are_checked_anew(backend):
    x, indices = Tensor([[1.0], [2.0]]), Tensor([0, 1], dtype="int32")
    indices.assign([1, 1])
    assert x.take_rows(indices).tolist() == [[2.0], [2.0]]
    indices.assign([1, 2])
    with pytest.raises(IndexRangeError, match="index 2 at position 1"):
        x.take_rows(indices)


def test_rows_of_indices_keep_their_limits(backend):
    """Labels in batches are not read back: what selects from checked indices is known to be in range."""
    labels = Tensor([2, 0, 1, 2], dtype="int32")
    for part in (labels[1:3], labels.take_rows([3, 3]), TABLE["concat"](labels, labels, axis=0), labels.T):
        assert part.dtype == "int32"
        assert part.value.limits == (0, 2)
    assert labels.take_rows([1, 3]).tolist() == [[0], [2]]


@pytest.mark.parametrize("op", MIXABLE, ids=str)
def test_dtypes_do_not_mix(op, exact):
    with no_grad():
        floats = [i for i in range(len(drawn(op))) if i not in op.indices]
        for odd in floats:
            inputs = drawn(op)
            inputs[odd] = Tensor(inputs[odd].numpy(), dtype="float64")
            with pytest.raises(DtypeError, match=rf"{op.name}: .*float64.* do not mix"):
                op(*inputs, **op.samples[0].params)


@pytest.mark.parametrize("op", TABLE.values(), ids=str)
def test_int32_is_for_indices(op, backend):
    """An op that computes refuses int32, and one that selects by indices refuses floats."""
    for position, x in enumerate(drawn(op)):
        inputs = drawn(op)
        if position in op.indices:
            inputs[position] = Tensor(x.numpy().astype("float32"))
            message = rf"{op.name}: input {position} holds indices and must be int32, not float32"
        elif op.accepts_indices and len(inputs) - len(op.indices) == 1:
            continue
        else:
            inputs[position] = Tensor(np.ones(x.shape, "int32"), dtype="int32")
            message = rf"{op.name}: .*int32"
        with pytest.raises(DtypeError, match=message):
            op(*inputs, **op.samples[0].params)


@pytest.mark.parametrize("other", [1, 1.5, float("inf"), float("nan"), [[1.0]]])
def test_int32_has_no_arithmetic_with_numbers(other, backend):
    for compute in (
        lambda x: x + other,
        lambda x: other * x,
        lambda x: x > other,
        lambda x: TABLE["add"](x.value, 1.5),
    ):
        with pytest.raises(DtypeError, match=r"int32|whole numbers"):
            compute(Tensor([1], dtype="int32"))


@pytest.mark.parametrize(("first", "second"), list(permutations(BACKENDS, 2)))
def test_backends_do_not_mix(first, second):
    for op in TABLE.values():
        with use_backend(second):
            elsewhere = drawn(op)
        for position in range(1, len(elsewhere)):
            with use_backend(first):
                inputs = drawn(op)
            inputs[position] = elsewhere[position]
            with pytest.raises(BackendMismatchError, match=rf"{op.name}: .*{first}.*{second}.* do not mix"):
                op(*inputs, **op.samples[0].params)


@pytest.mark.parametrize("inputs", [(), (1.0, 2.0), ([[1.0]], [[2.0]]), (np.ones((1, 1)), "x")])
def test_an_op_needs_a_tensor(inputs):
    with pytest.raises(DtypeError, match="add needs a Tensor"):
        TABLE["add"](*inputs)


def test_matrices_do_not_mix_with_host_data(backend):
    with pytest.raises(DtypeError, match="add: expected a matrix or a number, got list"):
        TABLE["add"](Tensor([[1.0]]).value, [[1.0]])
