"""What the core gives every backend: numbers as matrices, constants, the table of kernels, errors."""

import math
import pickle

import numpy as np
import pytest

from pycrograd_core import Matrix, Tensor, define_op, errors
from pycrograd_core.errors import BackendMismatchError, PycrogradError, ShapeError
from pycrograd_core.op import undefine
from pycrograd_core.ops import TABLE
from pycrograd_core.ops.shapes import same


def values(matrix):
    return Tensor.of(matrix).tolist()


def test_numbers_are_made_once(backend):
    assert backend.number(2.5, "float32") is backend.number(2.5, "float32")
    assert values(backend.number(2.5, "float32")) == [[2.5]]
    for zero in (0.0, -0.0):
        ((found,),) = values(backend.number(zero, "float32"))
        assert (found, math.copysign(1, found)) == (0.0, math.copysign(1, zero))
    for number in range(2000):
        backend.number(float(number), "float32")
    assert len(backend.constants) < 1000
    assert values(backend.number(0.0, "float32")) == [[0.0]]


@pytest.mark.parametrize("size", [0, 1, 3])
def test_identity(size, dtype):
    like = Tensor([[1.0]], dtype=dtype).value
    found = like.identity(size, dtype)
    assert np.array_equal(Tensor.of(found).numpy(), np.eye(size))
    assert found.dtype == dtype
    assert like.identity(size, dtype) is found


def test_an_op_without_kernel_or_decomposition(backend):
    op = define_op("unheard_of", "x.", same)
    try:
        with pytest.raises(BackendMismatchError, match="unheard_of needs a kernel that this backend does not have"):
            op(Tensor([[1.0]]))
    finally:
        undefine("unheard_of")


def test_required_kernels_are_those_without_decomposition():
    """The contract and the table agree: what an op cannot be made of, a backend must have."""
    host = {"from_host", "to_host", "full", "assign", "synchronize"}
    assert Matrix.__abstractmethods__ - host == {op.name for op in TABLE.values() if op.decomposition is None}


def test_assign_and_synchronize(dtype):
    x = Tensor([[1.0, 2.0]], dtype=dtype)
    x.value.assign(Tensor([[3.0, 4.0]], dtype=dtype).value)
    type(x.value).synchronize()
    assert x.tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("decomposed", [False, True])
def test_an_update_is_in_place_wherever_the_kernel_left_its_result(decomposed, dtype, monkeypatch):
    x, other = (Tensor(row, dtype=dtype) for row in ([[1.0, 2.0]], [[10.0, 20.0]]))
    value, matrix, op = x.value, type(x.value), TABLE["accumulate"]
    if decomposed:
        monkeypatch.setitem(matrix.kernels, op, lambda *inputs, out=None, **params: op.decomposition(*inputs, **params))
    x.update(op, other, decay=2.0, weight=0.5)
    assert x.value is value
    assert (x.tolist(), other.tolist()) == ([[7.0, 14.0]], [[10.0, 20.0]])
    with pytest.raises(ShapeError, match=r"accumulate\(1×2, 2×1\)"):
        x.update(op, Tensor([[1.0], [2.0]], dtype=dtype), decay=2.0, weight=0.5)


def test_a_matrix_describes_itself(backend):
    text = repr(Tensor([[1.0, 2.0]]).value)
    assert text.endswith(f"1×2 float32 on {backend.backend}>")


def test_every_error_is_one_of_ours_and_one_of_pythons():
    found = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PycrogradError)]
    assert len(found) > 10
    for error in found:
        assert error.__doc__
        assert error is PycrogradError or any(
            base.__module__ == "builtins" and base is not Exception for base in error.__mro__[1:-3]
        )


def test_a_shape_error_survives_pickling():
    error = pickle.loads(pickle.dumps(ShapeError("add", [(3, 4), (2, 4)], "no")))
    assert str(error) == "add(3×4, 2×4): no"
