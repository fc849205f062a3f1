"""Every op of the table once more: a plain NumPy formula in float64, which shares no code with the package.

Inputs are float64 arrays (int32 for indices) and the op's parameters; what comes out is an array of two dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Formula = Callable[..., Any]

AXES: dict[int | None, dict[str, Any]] = {
    0: {"axis": 0, "keepdims": True},
    1: {"axis": 1, "keepdims": True},
    None: {"keepdims": True},
}


def one_by_one(number: float) -> Array:
    """A number as a matrix."""
    return np.array([[number]], dtype=np.float64)


def padded(x: Array, above: int, below: int, left: int, right: int) -> Array:
    """A frame of zeros around x."""
    framed = np.zeros((above + x.shape[0] + below, left + x.shape[1] + right))
    framed[above : above + x.shape[0], left : left + x.shape[1]] = x
    return framed


def scattered(x: Array, indices: Array, updates: Array) -> Array:
    """Each update added to its row."""
    total = x.copy()
    for row, update in zip(indices[:, 0], updates, strict=True):
        total[row] += update
    return total


def hot(labels: Array, classes: int, dtype: str = "float64") -> Array:
    """A 1 at each label."""
    return (labels == np.arange(classes)).astype(float)


def shares(x: Array, axis: int) -> Array:
    """Softmax."""
    e = np.exp(x - x.mean(**AXES[axis]))  # any number in place of the mean would do
    return e / e.sum(**AXES[axis])


def product(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """The product of a or aᵀ and b or bᵀ."""
    return (a.T if transpose_a else a) @ (b.T if transpose_b else b)


def normalised(x: Array, weight: Array, bias: Array, epsilon: float) -> Any:
    """Each row to mean 0 and variance 1, scaled and shifted."""
    return (x - x.mean(**AXES[1])) / np.sqrt(x.var(**AXES[1]) + epsilon) * weight + bias


def adam(
    w: Array, mean: Array, square: Array, rate: Array, mean_share: Array, square_share: Array, epsilon: float
) -> Any:
    """A step of Adam, from corrected running means."""
    return w - rate * (mean / mean_share) / (np.sqrt(square / square_share) + epsilon)


REFERENCE: dict[str, Formula] = {
    # elementwise
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "negative": lambda x: -x,
    "abs": np.abs,
    "relu": lambda x: np.where(x > 0, x, 0.0),
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "clip": lambda x, low, high: np.where(x < low, low, np.where(x > high, high, x)),
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "greater": lambda a, b: (a > b).astype(float),
    "less": lambda a, b: (a < b).astype(float),
    "equal": lambda a, b: (a == b).astype(float),
    "not_equal": lambda a, b: (a != b).astype(float),
    "greater_equal": lambda a, b: (a >= b).astype(float),
    "less_equal": lambda a, b: (a <= b).astype(float),
    "where": lambda mask, a, b: np.where(mask != 0, a, b),
    "relu_gradient": lambda g, y: np.where(y > 0, g, 0.0),
    "dropout": lambda x, keep, rate: x * keep / (1 - rate),
    # reductions
    "sum": lambda x, axis=None: x.sum(**AXES[axis]),
    "mean": lambda x, axis=None: x.mean(**AXES[axis]),
    "max": lambda x, axis=None: x.max(**AXES[axis]),
    "min": lambda x, axis=None: x.min(**AXES[axis]),
    "argmax": lambda x, axis=None: x.argmax(**AXES[axis]),
    # linear algebra
    "matmul": product,
    "linear": lambda x, weight, bias: x @ weight + bias,
    # layout
    "transpose": lambda x: x.T,
    "reshape": lambda x, rows, cols: x.reshape(rows, cols),
    "broadcast_to": lambda x, rows, cols: np.broadcast_to(x, (rows, cols)),
    "slice": lambda x, row_start, row_stop, col_start, col_stop: x[row_start:row_stop, col_start:col_stop],
    "pad": padded,
    "concat": lambda *parts, axis: np.concatenate(parts, axis),
    "take_rows": lambda x, indices: x[indices[:, 0]],
    "add_rows": scattered,
    "one_hot": hot,
    # normalised rows and losses
    "softmax": lambda x, axis=1: shares(x, axis),
    "log_softmax": lambda x, axis=1: np.log(shares(x, axis)),
    "layer_norm": normalised,
    "cross_entropy": lambda logits, labels: one_by_one(
        -np.log((shares(logits, 1) * hot(labels, logits.shape[1])).sum(axis=1)).mean()
    ),
    "cross_entropy_gradient": lambda g, logits, labels: (
        (shares(logits, 1) - hot(labels, logits.shape[1])) / len(logits) * g
    ),
    "mean_squared_error": lambda a, b: one_by_one(((a - b) ** 2).mean()),
    "max_margin": lambda scores, targets: one_by_one(np.where(scores * targets < 1, 1 - scores * targets, 0.0).mean()),
    "count_correct": lambda logits, labels: one_by_one((logits.argmax(axis=1) == labels[:, 0]).sum()),
    "count_same_sign": lambda scores, targets: one_by_one((np.sign(scores) == np.sign(targets)).sum()),
    # updates
    "sgd_update": lambda w, g, rate: w - rate * g,
    "accumulate": lambda old, new, decay, weight: old * decay + new * weight,
    "adam_update": adam,
}


def differences(function: Formula, arrays: Sequence[Array], position: int, step: float = 1e-4) -> Array:
    """The gradient of a function with a number as result, by central differences of fourth order (error ~ step⁴).

    It is nan where two steps away the slope is another: near a kink, where there is no telling it.
    """
    x = arrays[position]
    gradient = np.empty(x.shape)

    def moved(index: tuple[int, ...], steps: int) -> Any:
        y = x.copy()
        y[index] += steps * step
        return function(*arrays[:position], y, *arrays[position + 1 :])

    for index in np.ndindex(x.shape):
        near, far = moved(index, 1) - moved(index, -1), moved(index, 2) - moved(index, -2)
        kinked = abs(near / 2 - far / 4) > 1e-5 * max(step, abs(near))
        gradient[index] = np.nan if kinked else (8 * near - far) / (12 * step)
    return gradient
