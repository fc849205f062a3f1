"""The layers. What a configuration may set is what their constructors take after `in_features`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from pycrograd_core import ops
from pycrograd_core.limits import limited
from pycrograd_core.op import Op
from pycrograd_core.random import RandomStream, default_stream
from pycrograd_core.tensor import Tensor

from .init import INITIALISERS, InitialiserName
from .module import Module

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = Annotated[int, Gt(0)]
Rate = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0)]


class Linear(Module):
    """x @ weight + bias. The weight is in_features × out_features; the bias starts at 0."""

    @limited
    def __init__(
        self,
        in_features: Size,
        out_features: Size,
        bias: bool = True,
        initialiser: InitialiserName = "kaiming_uniform",
        stream: RandomStream | None = None,
    ) -> None:
        draw = INITIALISERS[initialiser]
        self.in_features = in_features
        self.out_features = out_features
        weight = draw(stream or default_stream().spawn(), in_features, out_features)
        self.weight = Tensor.owning(weight, requires_grad=True)
        self.bias = Tensor([[0.0] * out_features], requires_grad=True) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Batch × out_features, of a batch × in_features."""
        return ops.linear(x, self.weight, self.bias) if self.bias is not None else x @ self.weight

    def outputs(self, in_features: int) -> int:
        """`out_features`."""
        return self.out_features

    def __repr__(self) -> str:
        return f"Linear({self.in_features} → {self.out_features}{'' if self.bias is not None else ', no bias'})"


class Activation(Module):
    """An op of one input, as a layer. Subclasses name the op."""

    op: Op

    def forward(self, x: Tensor) -> Tensor:
        """The op, element by element."""
        return self.op(x)


class ReLU(Activation):
    """max(x, 0)."""

    op = ops.relu


class Tanh(Activation):
    """Hyperbolic tangent."""

    op = ops.tanh


class Sigmoid(Activation):
    """1 / (1 + e⁻ˣ)."""

    op = ops.sigmoid


class GELU(Activation):
    """Gaussian error linear unit, tanh form."""

    op = ops.gelu


class Softmax(Activation):
    """Softmax along each row. A loss from logits wants none before it."""

    op = ops.softmax


class Dropout(Module):
    """In training, zeros a share `rate` of the elements and scales the others by 1 / (1 - rate); else does nothing.

    Masks come from the core's random numbers: draw n of a layer depends on its stream and n alone.
    """

    counters = ("draws",)

    @limited
    def __init__(self, rate: Rate = 0.5, stream: RandomStream | None = None) -> None:
        self.rate = rate
        self.draws = 0
        self._stream = stream or default_stream().spawn()

    def forward(self, x: Tensor) -> Tensor:
        """x with elements dropped, scaled so that the expectation stays."""
        if not self.training or self.rate == 0:
            return x
        return ops.dropout(x, x.like_drawn(self._mask, *x.shape), rate=self.rate)

    def _mask(self, rows: int, cols: int) -> NDArray[Any]:
        self.draws += 1
        return (self._stream.child("mask", self.draws).uniform(rows * cols) >= self.rate).reshape(rows, cols)

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class LayerNorm(Module):
    """Each row to mean 0 and variance 1 (plus epsilon), then scaled and shifted by column."""

    @limited
    def __init__(self, in_features: Size, epsilon: Positive = 1e-5) -> None:
        self.epsilon = epsilon
        self.weight = Tensor([[1.0] * in_features], requires_grad=True)
        self.bias = Tensor([[0.0] * in_features], requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x."""
        return ops.layer_norm(x, self.weight, self.bias, epsilon=self.epsilon)

    def __repr__(self) -> str:
        return f"LayerNorm({self.weight.cols})"


class Embedding(Module):
    """A row of `features` learned numbers for each of `count` indices; they start normal with deviation 1."""

    @limited
    def __init__(self, count: Size, features: Size, stream: RandomStream | None = None) -> None:
        values = (stream or default_stream().spawn()).normal(count * features)
        self.weight = Tensor.owning(values.reshape(count, features), requires_grad=True)

    def forward(self, x: Any) -> Tensor:
        """n × features, of n indices: int32, n × 1, or a host array."""
        return self.weight.take_rows(x)

    def outputs(self, in_features: int) -> int:
        """`features`."""
        return self.weight.cols

    def __repr__(self) -> str:
        return f"Embedding({self.weight.rows} × {self.weight.cols})"
