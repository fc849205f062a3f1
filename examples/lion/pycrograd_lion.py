"""The Lion optimiser (Chen et al., arXiv 2302.06675), which moves every weight by the sign of its momentum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from pycrograd_core import Tensor, ops, optim
from pycrograd_core.plugins import hookimpl

Share = Annotated[float, Ge(0), Lt(1)]


class Lion(optim.Optimiser):
    """w ← w - rate · (sign(β₁ · m + (1 - β₁) · g) + weight_decay · w), and then m ← β₂ · m + (1 - β₂) · g."""

    memory = ("momentum",)  # what checkpoints keep

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: Annotated[float, Gt(0)] = 1e-4,
        beta1: Share = 0.9,
        beta2: Share = 0.99,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
    ) -> None:
        super().__init__(parameters, learning_rate)
        self.beta1, self.beta2, self.weight_decay = beta1, beta2, weight_decay

    def update(self, index: int, parameter: Tensor, gradient: Tensor) -> None:
        """Update one parameter, in ops alone, so that a captured step holds it too."""
        momentum = self.remembered("momentum", index)
        blend = ops.accumulate(momentum, gradient, decay=self.beta1, weight=1 - self.beta1)
        direction = ops.greater(blend, 0.0) - ops.less(blend, 0.0) + self.weight_decay * parameter
        momentum.update(ops.accumulate, gradient, decay=self.beta2, weight=1 - self.beta2)
        parameter.update(ops.sgd_update, direction, self.rate)


@hookimpl
def pycrograd_register_optimisers() -> Mapping[str, Callable[..., optim.Optimiser]]:
    """`optimiser: {name: lion, beta1: 0.95}` in a configuration."""
    return {"lion": Lion}
