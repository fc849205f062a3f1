"""Optimisers: each writes its parameters in place, through ops that a backend can fuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Lt

from pycrograd_core import ops
from pycrograd_core.autograd import CLOCK, no_grad
from pycrograd_core.errors import CheckpointError, GradientError, Shape
from pycrograd_core.limits import limited
from pycrograd_core.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]


class Optimiser:
    """Updates parameters from their gradients. Subclasses write `update(index, parameter, gradient)`.

    `parameters` is any iterable of tensors that require a gradient. The learning rate may be set at any time; it is
    kept as a 1×1 tensor, so that changing it changes no program. What else an optimiser remembers is in `state`: for
    each name in `memory`, `NAME.INDEX` for the parameters that have been updated.
    """

    memory: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise GradientError("an optimiser needs at least one parameter")
        for position, parameter in enumerate(self.parameters):
            if not parameter.requires_grad or not parameter.is_leaf:
                raise GradientError(f"parameter {position} is not a leaf that requires a gradient")
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise GradientError("a parameter is given twice, and would be updated twice: give each one once")
        self.rate = self.parameters[0].new_full(1, 1, learning_rate)
        self._learning_rate = float(learning_rate)
        self.state: dict[str, Tensor] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        CLOCK.structure += 1

    @property
    def learning_rate(self) -> float:
        """The step size of the next update. In a captured step it has no number: compute with `rate`."""
        self.rate.host()  # raises there, where this number would be kept forever
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
        """Update every parameter that has a gradient. Raises GradientError if none has."""
        if all(parameter.grad is None for parameter in self.parameters):
            raise GradientError(
                "no parameter has a gradient: call backward() before step(), and make the optimiser after model.to()"
            )
        with no_grad():
            for index, parameter in enumerate(self.parameters):
                if parameter.grad is not None:
                    self.update(index, parameter, parameter.grad)

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """Update one parameter."""
        raise TypeError(f"{type(self).__name__} has no update()")

    def remembered(self, name: str, index: int, shape: Shape | None = None) -> Tensor:
        """What is remembered under a name for parameter `index`: at first zeros, in its shape unless told another."""
        key = f"{name}.{index}"
        if key not in self.state:
            parameter = self.parameters[index]
            self.state[key] = parameter.new_full(*(shape or parameter.shape), 0.0)
        return self.state[key]

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of what the optimiser remembers, by name."""
        return {name: value.numpy() for name, value in self.state.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Remember what another optimiser of the same kind and parameters did, and nothing else.

        Raises CheckpointError, and changes nothing, if the state is of another kind or of other parameters.
        """
        loaded = {}
        for key, values in state.items():
            name, _, index = key.rpartition(".")
            if name not in self.memory or not index.isdigit() or int(index) >= len(self.parameters):
                raise CheckpointError(f"the state {key} is not one of {type(self).__name__} with these parameters")
            if tuple(values.shape) not in ((1, 1), self.parameters[int(index)].shape):
                raise CheckpointError(f"the state {key} is {values.shape}: not the shape of its parameter")
            loaded[key] = self.parameters[int(index)].like(values)
        self.state = loaded


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum (Polyak 1964; Nesterov's form, Sutskever et al. 2013).

    `weight_decay` adds weight_decay · w to the gradient (L2); `decoupled` subtracts rate · weight_decay · w instead,
    outside the momentum (Loshchilov and Hutter, arXiv 1711.05101).
    """

    memory = ("velocity",)

    @limited
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
            velocity = self.remembered("velocity", index)
            velocity.update(ops.accumulate, gradient, decay=self.momentum, weight=1.0)
            ahead = self.nesterov
            gradient = ops.accumulate(gradient, velocity, decay=1.0, weight=self.momentum) if ahead else velocity
        parameter.update(ops.sgd_update, gradient, self.rate)


class Adam(Optimiser):
    """Adam (Kingma and Ba, arXiv 1412.6980). `weight_decay` adds weight_decay · w to the gradient (L2)."""

    decoupled = False
    memory = ("mean", "square", "mean_share", "square_share")

    @limited
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
        self._one = self.parameters[0].new_full(1, 1, 1.0)

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """w ← w - rate · m̂ / (√v̂ + ε)."""
        if self.weight_decay:
            gradient = _decayed(self, parameter, gradient)
        mean, square = self.remembered("mean", index), self.remembered("square", index)
        # 1 - βᵗ, carried from step to step: s ← β · s + (1 - β) loses no digits where 1 - βᵗ would
        shares = self.remembered("mean_share", index, (1, 1)), self.remembered("square_share", index, (1, 1))
        for share, beta in zip(shares, self.betas, strict=True):
            share.update(ops.accumulate, self._one, decay=beta, weight=1 - beta)
        mean.update(ops.accumulate, gradient, decay=self.betas[0], weight=1 - self.betas[0])
        square.update(ops.accumulate, gradient * gradient, decay=self.betas[1], weight=1 - self.betas[1])
        parameter.update(ops.adam_update, mean, square, self.rate, *shares, epsilon=self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

    decoupled = True

    @limited
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
