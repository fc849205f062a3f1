"""Derived ops that are worth a single pass. Each equals its decomposition in `pycrograd_core.ops`, but for rounding."""

from __future__ import annotations

import math
import operator
from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

from pycrograd_core.ops import TABLE
from pycrograd_core.ops.shapes import broadcast

from . import ieee
from .kernels import Kernels, elementwise, lines, result, spread
from .product import product

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycrograd_core.capture.program import Program

    from .compiled import CompiledProgram
    from .product import Values


class PythonMatrix(Kernels):
    """The required kernels, and the derived ops that training spends its time in."""

    __slots__ = ()

    negative = elementwise(operator.neg)
    abs = elementwise(math.fabs)
    minimum = elementwise(ieee.minimum)
    less = elementwise(operator.lt)
    equal = elementwise(operator.eq)
    not_equal = elementwise(operator.ne)
    greater_equal = elementwise(operator.ge)
    less_equal = elementwise(operator.le)
    sigmoid = elementwise(ieee.sigmoid)

    def relu(self, *, out: Self | None = None) -> Self:
        """The greater of x and 0; nan stays nan."""
        return result(self, self.shape, (0.0 if x <= 0.0 else x for x in self.data), out)  # noqa: FURB136  max loses nan

    def relu_gradient(self, y: Self, *, out: Self | None = None) -> Self:
        """The gradient where y is positive, else 0."""
        shape = broadcast(self.shape, y.shape)
        pairs = zip(spread(self, shape), spread(y, shape), strict=True)
        return result(self, shape, (g if x > 0.0 else 0.0 for g, x in pairs), out)

    def broadcast_to(self, rows: int, cols: int, *, out: Self | None = None) -> Self:
        """Each element as often as it is repeated."""
        return result(self, (rows, cols), array(self.data.typecode, spread(self, (rows, cols))), out)

    def linear(self, weight: Self, bias: Self, *, out: Self | None = None) -> Self:
        """A matrix product whose sums start from the bias."""
        extents = (self.rows, self.cols, weight.cols)
        values = product(self.data, weight.data, extents, bias=bias.data)
        return result(self, (self.rows, weight.cols), values, out)

    # Softmax and its loss: each row is moved so that its greatest element is 0, and no exponential overflows ----------

    def softmax(self, axis: int = 1, *, out: Self | None = None) -> Self:
        """Each eˣ / Σ eˣ of each row or column."""
        if axis == 0:
            return result(self, self.shape, self.transpose().softmax().transpose().data, out)
        return result(self, self.shape, chain.from_iterable(map(_softmax, lines(self, 1))), out)

    def log_softmax(self, axis: int = 1, *, out: Self | None = None) -> Self:
        """Each x - log Σ eˣ of each row or column."""
        if axis == 0:
            return result(self, self.shape, self.transpose().log_softmax().transpose().data, out)
        return result(self, self.shape, chain.from_iterable(map(_log_softmax, lines(self, 1))), out)

    def cross_entropy(self, labels: Self, *, out: Self | None = None) -> Self:
        """The mean of -log softmax(row)[label]."""
        losses = [-_log_softmax(row)[label] for row, label in zip(lines(self, 1), labels.data, strict=True)]
        return result(self, (1, 1), [sum(losses) / len(losses)], out)

    def cross_entropy_gradient(self, logits: Self, labels: Self, *, out: Self | None = None) -> Self:
        """Softmax of each row of logits, less 1 at its label, times this 1×1 gradient / batch."""
        scale = self.data[0] / logits.rows
        data = array(self.data.typecode)
        for row, label in zip(lines(logits, 1), labels.data, strict=True):
            shares = _softmax(row)
            shares[label] -= 1.0
            data.fromlist([share * scale for share in shares])
        return result(self, logits.shape, data, out)

    def count_correct(self, labels: Self, *, out: Self | None = None) -> Self:
        """The number of rows whose argmax is their label."""
        return result(self, (1, 1), [sum(map(operator.eq, self.argmax(axis=1).data, labels.data))], out)

    # Capture -------------------------------------------------------------------------------------------------------

    @classmethod
    def compile(cls, program: Program) -> CompiledProgram:
        """The program as Python source, with fused loops: see `source`."""
        from .compiled import CompiledProgram

        return CompiledProgram(program)

    # Updates: `out` may be the first operand, which is then overwritten --------------------------------------------

    def sgd_update(self, g: Self, rate: Self, *, out: Self | None = None) -> Self:
        """A step against the gradient: w - rate · g."""
        shape, operands = _together(self, g, rate)
        return result(self, shape, (w - r * d for w, d, r in operands), out)

    def accumulate(self, new: Self, decay: float, weight: float, *, out: Self | None = None) -> Self:
        """A moving average or a sum: old · decay + new · weight."""
        shape, operands = _together(self, new)
        return result(self, shape, (x * decay + y * weight for x, y in operands), out)

    def adam_update(
        self,
        mean: Self,
        square: Self,
        rate: Self,
        mean_share: Self,
        square_share: Self,
        epsilon: float,
        *,
        out: Self | None = None,
    ) -> Self:
        """A step w - rate · m̂ / (√v̂ + ε). Where Python raises, the decomposition says what IEEE 754 gives."""
        inputs = (self, mean, square, rate, mean_share, square_share)
        shape, operands = _together(*inputs)
        sqrt = math.sqrt
        steps = (w - r * (m / ms) / (sqrt(s / ss) + epsilon) for w, m, s, r, ms, ss in operands)
        try:
            return result(self, shape, steps, out)
        except (ArithmeticError, ValueError):
            decomposition: Any = TABLE["adam_update"].decomposition
            return result(self, shape, decomposition(*inputs, epsilon=epsilon).data, out)


def _together(*operands: Kernels) -> tuple[Any, Iterable[tuple[float, ...]]]:
    """The shape that operands broadcast to, and their elements side by side."""
    shape = broadcast(*[x.shape for x in operands])
    return shape, zip(*[spread(x, shape) for x in operands], strict=True)


def _softmax(row: Values) -> list[float]:
    exponentials = list(map(math.exp, _from_greatest(row)))
    total = sum(exponentials)
    return [e / total for e in exponentials]


def _log_softmax(row: Values) -> list[float]:
    z = _from_greatest(row)
    log_total = ieee.log(sum(map(math.exp, z)))
    return [x - log_total for x in z]


def _from_greatest(row: Values) -> list[float]:
    greatest = max(row, default=0.0)
    return [x - greatest for x in row]
