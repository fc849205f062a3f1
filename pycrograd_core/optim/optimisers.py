"""Optimisers: each writes its parameters in place, through ops that a backend can fuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from pycrograd_core import ops
from pycrograd_core.autograd import no_grad
from pycrograd_core.errors import CheckpointError, GradientError
from pycrograd_core.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]


class Optimiser:
    """Updates parameters from their gradients. Subclasses write `update(index, parameter, gradient)`.

    `parameters` is any iterable of tensors that require a gradient. The learning rate may be set at any time; it is
    kept as a 1×1 tensor, so that changing it changes no program. What else an optimiser remembers is in `state`.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise GradientError("an optimiser needs at least one parameter")
        for position, parameter in enumerate(self.parameters):
            if not parameter.requires_grad or not parameter.is_leaf:
                raise GradientError(f"parameter {position} is not a leaf that requires a gradient")
        self.rate = self.parameters[0].new_full(1, 1, learning_rate)
        self._learning_rate = float(learning_rate)
        self.state: dict[str, Tensor] = {}

    @property
    def learning_rate(self) -> float:
        """The step size of the next update."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if value != self._learning_rate:
            self._learning_rate = float(value)
            self.rate.assign([[value]])

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        with no_grad():
            self.begin()
            for index, parameter in enumerate(self.parameters):
                if parameter.grad is not None:
                    self.update(index, parameter, parameter.grad)

    def begin(self) -> None:
        """Called once a step, before the parameters."""

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """Update one parameter."""
        raise TypeError(f"{type(self).__name__} has no update()")

    def remembered(self, name: str, index: int, parameter: Tensor) -> Tensor:
        """The state `name` of a parameter: a tensor of its shape that starts at 0."""
        key = f"{name}.{index}"
        if key not in self.state:
            self.state[key] = parameter.new_full(*parameter.shape, 0.0)
        return self.state[key]

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of what the optimiser remembers, by name."""
        return {name: value.numpy() for name, value in self.state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what another optimiser of the same kind and parameters did."""
        for name, values in state.items():
            owner = int(name.rpartition(".")[2]) if name.rpartition(".")[2].isdigit() else None
            if owner is not None and (
                owner >= len(self.parameters) or tuple(values.shape) != self.parameters[owner].shape
            ):
                raise CheckpointError(f"the optimiser's state {name} fits no parameter of this model")
            self.state[name] = self.parameters[0].like(values)


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum (Polyak 1964; Nesterov's form, Sutskever et al. 2013).

    `weight_decay` adds weight_decay · w to the gradient (L2); `decoupled` subtracts rate · weight_decay · w instead,
    outside the momentum (Loshchilov and Hutter, arXiv 1711.05101).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: Positive = 0.01,
        momentum: Share = 0.0,
        nesterov: bool = False,
        weight_decay: NotNegative = 0.0,
        decoupled: bool = False,
    ) -> None:
        super().__init__(parameters, learning_rate)
        if nesterov and not momentum:
            raise ValueError("nesterov needs a momentum above 0")
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.decoupled = decoupled

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """w ← w - rate · v, with v ← momentum · v + g."""
        if self.weight_decay:
            gradient = _decayed(self, parameter, gradient)
        if self.momentum:
            velocity = self.remembered("velocity", index, parameter)
            velocity.update(ops.accumulate, gradient, decay=self.momentum, weight=1.0)
            ahead = self.nesterov
            gradient = ops.accumulate(gradient, velocity, decay=1.0, weight=self.momentum) if ahead else velocity
        parameter.update(ops.sgd_update, gradient, self.rate)


class Adam(Optimiser):
    """Adam (Kingma and Ba, arXiv 1412.6980). `weight_decay` adds weight_decay · w to the gradient (L2)."""

    decoupled = False

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: Positive = 0.001,
        beta1: Share = 0.9,
        beta2: Share = 0.999,
        epsilon: Positive = 1e-8,
        weight_decay: NotNegative = 0.0,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.betas = (beta1, beta2)
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        first = self.parameters[0]
        self._one = first.new_full(1, 1, 1.0)
        # 1 - βᵗ, carried from step to step: s ← β · s + (1 - β) loses no digits where 1 - βᵗ would
        self.state = {"mean_share": first.new_full(1, 1, 0.0), "square_share": first.new_full(1, 1, 0.0)}

    def begin(self) -> None:
        """Advance the shares 1 - βᵗ that the moments have seen."""
        for share, beta in zip(("mean_share", "square_share"), self.betas, strict=True):
            self.state[share].update(ops.accumulate, self._one, decay=beta, weight=1 - beta)

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """w ← w - rate · m̂ / (√v̂ + ε)."""
        if self.weight_decay:
            gradient = _decayed(self, parameter, gradient)
        mean = self.remembered("mean", index, parameter)
        square = self.remembered("square", index, parameter)
        mean.update(ops.accumulate, gradient, decay=self.betas[0], weight=1 - self.betas[0])
        square.update(ops.accumulate, gradient * gradient, decay=self.betas[1], weight=1 - self.betas[1])
        shares = self.state["mean_share"], self.state["square_share"]
        parameter.update(ops.adam_update, mean, square, self.rate, *shares, epsilon=self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

    decoupled = True

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: Positive = 0.001,
        beta1: Share = 0.9,
        beta2: Share = 0.999,
        epsilon: Positive = 1e-8,
        weight_decay: NotNegative = 0.01,
    ) -> None:
        super().__init__(parameters, learning_rate, beta1, beta2, epsilon, weight_decay)


def _decayed(optimiser: SGD | Adam, parameter: Tensor, gradient: Tensor) -> Tensor:
    """Apply weight decay: to the gradient, which is returned, or if decoupled to the parameter at once."""
    if optimiser.decoupled:
        parameter.update(ops.sgd_update, parameter * optimiser.weight_decay, optimiser.rate)
        return gradient
    return ops.accumulate(gradient, parameter, decay=1.0, weight=optimiser.weight_decay)
