"""A small backend that is right, so that one line of it can be made wrong: kernels of its own over NumPy arrays.

Products are done later, as a device does them: a matrix is finished when somebody looks at it. Programs are run as
they are. What is done to it, line by line, is in `mutants` and `variations`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from pycrograd_core import Matrix

_WORK: deque[Callable[[], Any]] = deque()  # products that were asked for and are not done yet, in their order
_TURN = threading.Lock()


def _finish() -> None:
    """Do what is waiting. It leaves the queue when it is done, so that whoever finds none may look."""
    while _WORK:
        with _TURN:
            if _WORK:
                _WORK[0]()
                _WORK.popleft()


@np.errstate(all="ignore")
def _product(a: Any, b: Any, memory: Any) -> None:
    np.matmul(a, b, out=memory)


class Honest(Matrix):
    """A NumPy array, rows × cols, in row-major order."""

    __slots__ = ("memory",)

    backend = "honest"
    device = "host"
    capabilities = frozenset({"float64", "host_memory", "deterministic", "exact_capture"})

    def __init__(self, memory: Any, dtype: str) -> None:
        super().__init__(memory.shape, dtype)
        self.memory = memory

    @property
    def array(self) -> Any:
        """The memory, when all that writes to it has done so."""
        _finish()
        return self.memory

    def _made(self, values: Any, out: Honest | None = None, dtype: str | None = None) -> Honest:
        """A matrix of these values: `out`, if it is given."""
        if out is not None:
            np.copyto(out.array, values)
            return out
        return Honest(np.ascontiguousarray(values, dtype or self.dtype), dtype or self.dtype)

    @np.errstate(all="ignore")
    def _computed(self, formula: Callable[..., Any], *others: Honest, out: Honest | None = None) -> Honest:
        """A matrix of what a formula gives of this one and others."""
        return self._made(formula(self.array, *[x.array for x in others]), out)

    # Host ----------------------------------------------------------------------------------------------------------

    @classmethod
    def from_host(cls, buffer: Any, rows: int, cols: int, dtype: str) -> Honest:
        return cls(np.frombuffer(buffer, dtype).reshape(rows, cols).copy(), dtype)

    @classmethod
    def from_owned(cls, array: Any, rows: int, cols: int, dtype: str) -> Honest:
        return cls(array, dtype)

    def to_host(self) -> Any:
        return self.array.data

    @classmethod
    def full(cls, rows: int, cols: int, value: float, dtype: str) -> Honest:
        return cls(np.full((rows, cols), value, dtype), dtype)

    # Elementwise ---------------------------------------------------------------------------------------------------

    def exp(self, *, out: Honest | None = None) -> Honest:
        return self._computed(np.exp, out=out)

    def log(self, *, out: Honest | None = None) -> Honest:
        return self._computed(np.log, out=out)

    def sqrt(self, *, out: Honest | None = None) -> Honest:
        return self._computed(np.sqrt, out=out)

    def tanh(self, *, out: Honest | None = None) -> Honest:
        return self._computed(np.tanh, out=out)

    def add(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.add, other, out=out)

    def subtract(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.subtract, other, out=out)

    def multiply(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.multiply, other, out=out)

    def divide(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.divide, other, out=out)

    def power(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.power, other, out=out)

    def maximum(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.maximum, other, out=out)

    def greater(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.greater, other, out=out)

    def where(self, a: Honest, b: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda mask, a, b: np.where(mask != 0, a, b), a, b, out=out)

    # Reductions ----------------------------------------------------------------------------------------------------

    def sum(self, axis: int | None = None, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: x.sum(axis=axis, keepdims=True), out=out)

    def max(self, axis: int | None = None, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: x.max(axis=axis, keepdims=True), out=out)

    def argmax(self, axis: int | None = None) -> Honest:
        return self._made(self.array.argmax(axis=axis, keepdims=True), dtype="int32")

    # Linear algebra ------------------------------------------------------------------------------------------------

    def matmul(
        self, other: Honest, transpose_a: bool = False, transpose_b: bool = False, *, out: Honest | None = None
    ) -> Honest:
        a = self.memory.T if transpose_a else self.memory
        b = other.memory.T if transpose_b else other.memory
        y = out or Honest(np.empty((len(a), b.shape[1]), self.dtype), self.dtype)
        _WORK.append(partial(_product, a, b, y.memory))
        return y

    # Layout --------------------------------------------------------------------------------------------------------

    def transpose(self) -> Honest:
        return self._made(self.array.T.copy())

    def reshape(self, rows: int, cols: int) -> Honest:
        return self._made(self.array.reshape(rows, cols).copy())

    def slice(self, row_start: int, row_stop: int, col_start: int, col_stop: int) -> Honest:
        return self._made(self.array[row_start:row_stop, col_start:col_stop].copy())

    def concat(self, *others: Honest, axis: int) -> Honest:
        return self._made(np.concatenate([x.array for x in (self, *others)], axis))

    def take_rows(self, indices: Honest, *, out: Honest | None = None) -> Honest:
        return self._made(self.array[indices.array[:, 0]], out)

    def add_rows(self, indices: Honest, updates: Honest, *, out: Honest | None = None) -> Honest:
        total = self.array.copy()
        np.add.at(total, indices.array[:, 0], updates.array)
        return self._made(total, out)

    # Control -------------------------------------------------------------------------------------------------------

    def assign(self, source: Honest) -> None:
        np.copyto(self.array, source.array)

    @classmethod
    def synchronize(cls) -> None:
        _finish()

    @classmethod
    def compile(cls, program: Any) -> Callable[..., Any] | None:
        """Step by step. A loop is declined: the core makes one of its step."""
        if program.stacked:
            return None
        kept = {value: constant.made(cls, value) for value, constant in program.constants.items()}
        kept |= program.states

        def run(*arguments: Honest) -> list[Honest]:
            values = kept | dict(zip(program.arguments, arguments, strict=True))
            for value, draw in program.feeds.items():
                values[value] = cls.from_feed(draw, *value.shape, value.dtype)
            for step in program.instructions:
                values[step.output] = cls.kernels[step.op](*[values[x] for x in step.inputs], **step.params)
            outputs = [values[value].reshape(*value.shape) for value in program.outputs]
            new = {target: values[value].reshape(*value.shape) for target, value in program.updates.items()}
            for target in program.updates:
                values[target].assign(new[target])
            return outputs

        return run

    # Derived ops ---------------------------------------------------------------------------------------------------

    def relu(self, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: np.maximum(x, 0), out=out)

    def relu_gradient(self, y: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda g, y: np.where(y > 0, g, g.dtype.type(0)), y, out=out)

    def sigmoid(self, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: 1 / (1 + np.exp(-x)), out=out)

    def gelu(self, *, out: Honest | None = None) -> Honest:
        scale = np.sqrt(2 / np.pi).astype(self.dtype)
        return self._computed(lambda x: 0.5 * x * (1 + np.tanh(scale * (x + 0.044715 * x * x * x))), out=out)

    def clip(self, low: float, high: float, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: np.minimum(np.maximum(x, low), high), out=out)

    def minimum(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.minimum, other, out=out)

    def equal(self, other: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(np.equal, other, out=out)

    def dropout(self, keep: Honest, rate: float, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x, keep: x * (keep / (1 - rate)), keep, out=out)

    def broadcast_to(self, rows: int, cols: int, *, out: Honest | None = None) -> Honest:
        return self._made(np.broadcast_to(self.array, (rows, cols)).copy(), out)

    def mean(self, axis: int | None = None, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda x: x.mean(axis=axis, keepdims=True), out=out)

    def linear(self, weight: Honest, bias: Honest, *, out: Honest | None = None) -> Honest:
        y = self.matmul(weight)
        return y.add(bias, out=out or y)

    def softmax(self, axis: int = 1, *, out: Honest | None = None) -> Honest:
        e = np.exp(self._shifted(axis))
        return self._made(e / e.sum(axis=axis, keepdims=True), out)

    def log_softmax(self, axis: int = 1, *, out: Honest | None = None) -> Honest:
        z = self._shifted(axis)
        return self._made(z - np.log(np.exp(z).sum(axis=axis, keepdims=True)), out)

    def _shifted(self, axis: int) -> Any:
        """Each line less its greatest, so that no exponential overflows."""
        x = self.array
        return x - x.max(axis=axis, keepdims=True)

    def layer_norm(self, weight: Honest, bias: Honest, epsilon: float, *, out: Honest | None = None) -> Honest:
        centred = self.array - self.array.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        return self._made(centred / np.sqrt(variance + epsilon) * weight.array + bias.array, out)

    def cross_entropy(self, labels: Honest, *, out: Honest | None = None) -> Honest:
        z = self._shifted(1)
        shares = np.log(np.exp(z).sum(axis=1, keepdims=True))
        return self._made((shares - np.take_along_axis(z, labels.array, 1)).mean(keepdims=True), out)

    def cross_entropy_gradient(self, logits: Honest, labels: Honest, *, out: Honest | None = None) -> Honest:
        e = np.exp(logits._shifted(1))
        shares = e / e.sum(axis=1, keepdims=True)
        shares[np.arange(len(shares)), labels.array[:, 0]] -= 1
        return self._made(shares * (self.array / len(shares)), out)

    def count_correct(self, labels: Honest, *, out: Honest | None = None) -> Honest:
        return self._made((self.array.argmax(axis=1, keepdims=True) == labels.array).sum(keepdims=True), out)

    def sgd_update(self, g: Honest, rate: Honest, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda w, g, rate: w - rate * g, g, rate, out=out)

    def accumulate(self, new: Honest, decay: float, weight: float, *, out: Honest | None = None) -> Honest:
        return self._computed(lambda old, new: old * decay + new * weight, new, out=out)

    def adam_update(
        self, mean: Honest, square: Honest, rate: Honest, mean_share: Honest, square_share: Honest, epsilon: float,
        *, out: Honest | None = None,
    ) -> Honest:  # fmt: skip
        step = mean.array / mean_share.array
        size = np.sqrt(square.array / square_share.array) + epsilon
        return self._made(self.array - rate.array * (step / size), out)
