"""A residual block as a layer (He et al., arXiv 1512.03385), normalised first (Xiong et al., arXiv 2002.04745)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from annotated_types import Gt

from pycrograd_core import Tensor, nn
from pycrograd_core.plugins import hookimpl


class Residual(nn.Module):
    """x + linear(relu(linear(layer_norm(x)))), by way of `hidden` units. As many columns come out as go in."""

    def __init__(self, in_features: int, hidden: Annotated[int, Gt(0)] = 64) -> None:
        self.branch = nn.Sequential(
            nn.LayerNorm(in_features), nn.Linear(in_features, hidden), nn.ReLU(), nn.Linear(hidden, in_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x."""
        return x + self.branch(x)

    def __repr__(self) -> str:
        return f"Residual({self.branch[1]}, {self.branch[3]})"


@hookimpl
def pycrograd_register_layers() -> Mapping[str, Callable[..., nn.Module]]:
    """`- residual: 128` in a configuration: what the constructor takes after `in_features` are the options."""
    return {"residual": Residual}
