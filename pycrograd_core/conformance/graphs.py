"""Random graphs over every differentiable op, and what they compute by NumPy formulas alone.

A graph is a list of entries: a leaf, a constant, or an op of the table applied to the values of earlier entries. It is
grown from a seed; values are shared, broadcast and fanned out as it happens. Its gradients are differences of the whole
graph's result, so nothing here knows a gradient rule, an order of nodes or how to accumulate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import numpy as np

from .reference import REFERENCE, differences

GRAPHS = 200
OPS_PER_GRAPH = 10
Array = Any


@dataclass
class Entry:
    """An op with the numbers of its inputs, or a value: a leaf if it requires a gradient."""

    op: str = ""
    inputs: tuple[int, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    requires_grad: bool = False


def evaluate(entries: Sequence[Entry], leaves: Sequence[Array]) -> list[Any]:
    """The value of every entry, with these values for the leaves."""
    values: list[Any] = []
    given = iter(leaves)
    for entry in entries:
        if entry.op:
            values.append(REFERENCE[entry.op](*[values[i] for i in entry.inputs], **entry.params))
        else:
            values.append(next(given) if entry.requires_grad else entry.value)
    return values


class Grower:
    """A graph under construction. Entries are known by their numbers."""

    def __init__(self, seed: int, attempt: int) -> None:
        self.numbers = np.random.default_rng([seed, attempt])
        self.entries: list[Entry] = []
        self.values: list[Any] = []

    def choose(self, choices: Sequence[Any]) -> Any:
        """One of them."""
        return choices[int(self.numbers.integers(len(choices)))]

    def add(self, entry: Entry, value: Any) -> int:
        """A new entry, whose value is known."""
        self.entries.append(entry)
        self.values.append(value)
        return len(self.values) - 1

    def apply(self, op: str, *inputs: int, **params: Any) -> int:
        """An op of earlier entries."""
        return self.add(Entry(op, inputs, params), REFERENCE[op](*[self.values[i] for i in inputs], **params))

    def constant(self, value: Array) -> int:
        """A value that no gradient goes to."""
        return self.add(Entry(value=value), value)

    def leaf(self, shape: tuple[int, ...]) -> int:
        """A new leaf."""
        value = self.numbers.uniform(-1.5, 1.5, shape).astype("float32").astype("float64")
        return self.add(Entry(value=value, requires_grad=True), value)

    def any(self) -> int:
        """A value that there is, often a recent one, or a new leaf."""
        floats = [i for i, value in enumerate(self.values) if value.dtype == np.float64 and self.varies(i)]
        if len(floats) < 3 or self.numbers.random() < 0.1:
            return self.leaf(tuple(self.numbers.integers(1, 4, 2)))
        return int(self.choose(floats[-5:] if self.numbers.random() < 0.6 else floats))

    def varies(self, i: int) -> bool:
        """Whether an entry depends on a leaf, or is one."""
        return bool(self.entries[i].op) or self.entries[i].requires_grad

    def fit(self, shape: tuple[int, ...]) -> int:
        """A value of this shape."""
        fitting = [i for i, value in enumerate(self.values) if value.shape == shape and self.varies(i)]
        return int(self.choose(fitting)) if fitting and self.numbers.random() < 0.8 else self.leaf(shape)

    def partner(self, i: int) -> int:
        """A value that broadcasts with another."""
        rows, cols = self.values[i].shape
        return self.fit(self.choose([(rows, cols), (rows, cols), (1, cols), (rows, 1), (1, 1)]))

    def tame(self, i: int) -> int:
        """The value, scaled down if it is large."""
        greatest = np.abs(self.values[i]).max()
        return (
            i
            if greatest <= 4
            else self.apply("multiply", i, self.constant(np.array([[2.0 ** -np.ceil(np.log2(greatest / 2))]])))
        )

    def positive(self, i: int) -> int:
        """The value, moved into 0.5 … 1.5."""
        return self.apply("add", self.apply("sigmoid", i), self.constant(np.array([[0.5]])))

    def labels(self, rows: int, below: int) -> int:
        """Row numbers or labels."""
        return self.constant(self.numbers.integers(0, below, (rows, 1)).astype("int32"))

    def mask(self, shape: tuple[int, ...], values: tuple[float, float] = (0.0, 1.0)) -> int:
        """A constant of two values."""
        return self.constant(self.numbers.choice(values, shape))

    def axis(self, *choices: int) -> int:
        """One of these numbers."""
        return int(self.choose(choices))

    def part(self, extent: int) -> tuple[int, int]:
        """Where a part of rows or columns starts and stops."""
        start, stop = sorted(self.numbers.integers(0, extent, 2))
        return int(start), int(stop) + 1


def _slice_of(g: Grower, x: int) -> int:
    (row_start, row_stop), (col_start, col_stop) = (g.part(extent) for extent in g.values[x].shape)
    return g.apply("slice", x, row_start=row_start, row_stop=row_stop, col_start=col_start, col_stop=col_stop)


def _matmul_of(g: Grower, x: int) -> int:
    transpose_a, transpose_b, extent = bool(g.axis(0, 1)), bool(g.axis(0, 1)), g.axis(1, 2, 3)
    inner = g.values[x].shape[0 if transpose_a else 1]
    other = g.fit((extent, inner) if transpose_b else (inner, extent))
    return g.apply("matmul", x, other, transpose_a=transpose_a, transpose_b=transpose_b)


def _linear_of(g: Grower, x: int) -> int:
    inner, outer = g.values[x].shape[1], g.axis(1, 2, 3)
    return g.apply("linear", x, g.fit((inner, outer)), g.fit((1, outer)))


def _concat_of(g: Grower, x: int) -> int:
    axis = g.axis(0, 1)
    shape = list(g.values[x].shape)
    shape[axis] = g.axis(1, 2)
    return g.apply("concat", *g.choose([(x, g.fit(tuple(shape))), (x, x), (g.fit(tuple(shape)), x, x)]), axis=axis)


def _add_rows_of(g: Grower, x: int) -> int:
    rows, cols = g.values[x].shape
    n = g.axis(1, 2, 5)
    return g.apply("add_rows", x, g.labels(n, rows), g.fit((n, cols)))


def _broadcast_to_of(g: Grower, x: int) -> int:
    return g.apply("broadcast_to", g.apply("sum", x, axis=0), rows=g.axis(1, 2, 3), cols=g.values[x].shape[1])


def _reshape_of(g: Grower, x: int) -> int:
    size = g.values[x].size
    rows = g.axis(*[d for d in range(1, size + 1) if size % d == 0])
    return g.apply("reshape", x, rows=rows, cols=size // rows)


def _pad_of(g: Grower, x: int) -> int:
    return g.apply("pad", x, **{side: g.axis(0, 1, 2) for side in ("above", "below", "left", "right")})


def _layer_norm_of(g: Grower, x: int) -> int:
    wide = g.apply("concat", x, g.leaf((g.values[x].shape[0], 3)), axis=1)  # no row is constant
    cols = g.values[wide].shape[1]
    return g.apply("layer_norm", wide, g.fit((1, cols)), g.fit((1, cols)), epsilon=1e-5)


Growth = Callable[[Grower, int], int]


def _plain(name: str) -> Growth:
    return lambda g, x: g.apply(name, x)


def _of_positive(name: str) -> Growth:
    return lambda g, x: g.apply(name, g.positive(x))


def _pair(name: str) -> Growth:
    return lambda g, x: g.apply(name, *g.choose([(x, g.partner(x)), (g.partner(x), x), (x, x)]))


def _along(name: str, *axes: int | None) -> Growth:
    return lambda g, x: g.apply(name, x, axis=g.choose(axes))


GROWN: dict[str, Growth] = {
    **{name: _plain(name) for name in ("exp", "tanh", "negative", "abs", "relu", "sigmoid", "gelu", "transpose")},
    **{name: _of_positive(name) for name in ("log", "sqrt")},
    **{name: _pair(name) for name in ("add", "subtract", "multiply", "maximum", "minimum")},
    **{name: _along(name, None, 0, 1) for name in ("sum", "mean", "max", "min")},
    **{name: _along(name, 0, 1) for name in ("softmax", "log_softmax")},
    "clip": lambda g, x: g.apply("clip", x, low=-0.6, high=0.8),
    "divide": lambda g, x: g.apply("divide", x, g.positive(g.partner(x))),
    "power": lambda g, x: g.apply("power", g.positive(x), g.partner(x)),
    "where": lambda g, x: g.apply("where", g.mask(g.values[x].shape), x, g.partner(x)),
    "relu_gradient": lambda g, x: g.apply("relu_gradient", x, g.fit(g.values[x].shape)),
    "dropout": lambda g, x: g.apply("dropout", x, g.mask(g.values[x].shape), rate=0.25),
    "reshape": _reshape_of,
    "broadcast_to": _broadcast_to_of,
    "slice": _slice_of,
    "pad": _pad_of,
    "concat": _concat_of,
    "take_rows": lambda g, x: g.apply("take_rows", x, g.labels(g.axis(1, 3, 5), len(g.values[x]))),
    "add_rows": _add_rows_of,
    "matmul": _matmul_of,
    "linear": _linear_of,
    "layer_norm": _layer_norm_of,
    "cross_entropy": lambda g, x: g.apply("cross_entropy", x, g.labels(*g.values[x].shape)),
    "cross_entropy_gradient": lambda g, x: g.apply(
        "cross_entropy_gradient", g.fit((1, 1)), x, g.labels(*g.values[x].shape)
    ),
    "mean_squared_error": lambda g, x: g.apply("mean_squared_error", x, g.fit(g.values[x].shape)),
    "sgd_update": lambda g, x: g.apply("sgd_update", x, g.fit(g.values[x].shape), g.fit((1, 1))),
    "accumulate": lambda g, x: g.apply("accumulate", x, g.fit(g.values[x].shape), decay=0.9, weight=0.4),
    "adam_update": lambda g, x: g.apply(
        "adam_update", x, g.fit(g.values[x].shape), g.positive(g.fit(g.values[x].shape)), g.fit((1, 1)),
        g.positive(g.fit((1, 1))), g.positive(g.fit((1, 1))), epsilon=1e-3,
    ),
    "max_margin": lambda g, x: g.apply("max_margin", x, g.mask(g.values[x].shape, (-1.0, 1.0))),
}  # fmt: skip


def grow(seed: int, attempt: int) -> list[Entry]:
    """A graph of random ops, ending in the sum of weighted means of all that nothing else uses."""
    g = Grower(seed, attempt)
    for name in g.numbers.permutation(list(GROWN))[:OPS_PER_GRAPH]:
        g.tame(GROWN[name](g, g.any()))
    used = {i for entry in g.entries for i in entry.inputs}
    total = g.constant(np.zeros((1, 1)))
    for i in [i for i in range(total) if i not in used and g.varies(i)]:
        weights = g.constant(g.numbers.uniform(0.5, 1.5, g.values[i].shape).astype("float32").astype("float64"))
        total = g.apply("add", total, g.apply("mean", g.apply("multiply", i, weights)))
    return g.entries


@cache
def graph(seed: int) -> tuple[list[Entry], float, list[Array]]:
    """The entries of a graph, its result, and the gradient of each leaf.

    A graph with a value near a kink (of relu, max, …) is thrown away and grown anew.
    """
    attempts = count()
    while True:
        entries = grow(seed, next(attempts))
        leaves = [entry.value for entry in entries if entry.requires_grad]

        def result(*leaves: Array, entries: list[Entry] = entries) -> Any:
            return evaluate(entries, leaves)[-1][0, 0]

        gradients = [differences(result, leaves, position) for position in range(len(leaves))]
        if all(np.isfinite(gradient).all() for gradient in gradients):
            return entries, result(*leaves), gradients
