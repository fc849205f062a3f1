"""Infinities and nan where the kit does not ask: gradients that choose, parameters that limit."""

from math import inf, nan

import numpy as np

from pycrograd_core import Tensor
from pycrograd_core.ops import TABLE
from pycrograd_core.plugins import default_backend


def test_where_chooses_and_does_not_compute(dtype):
    """Neither nan nor an infinity comes through from the branch that was not chosen, nor does its gradient."""
    mask = Tensor([[1.0, 0.0, -0.0, nan, 0.5]], dtype=dtype)
    a = Tensor([[1.0, nan, inf, 4.0, 5.0]], requires_grad=True, dtype=dtype)
    b = Tensor([[nan, 2.0, 3.0, nan, inf]], requires_grad=True, dtype=dtype)
    y = TABLE["where"](mask, a, b)
    assert y.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]]
    y.backward([[inf, nan, 3.0, 4.0, 5.0]])
    assert a.grad.tolist() == [[inf, 0.0, 0.0, 4.0, 5.0]]
    assert np.array_equal(b.grad.numpy(), [[0.0, nan, 3.0, 0.0, 0.0]], equal_nan=True)


def test_clip_keeps_nan_and_limits_infinities(dtype):
    op, x = TABLE["clip"], Tensor([[-inf, -1.0, 0.5, 1.0, inf, nan]], dtype=dtype).value
    for kernel in (default_backend().kernels[op], op.decomposition):
        found = Tensor.of(kernel(x, low=-1.0, high=1.0)).numpy()
        np.testing.assert_array_equal(found, [[-1.0, -1.0, 0.5, 1.0, 1.0, nan]])
