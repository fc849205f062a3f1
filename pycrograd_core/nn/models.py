"""Whole models by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .layers import GELU, Linear, ReLU, Sigmoid, Size, Tanh
from .module import Module, Sequential

ACTIVATIONS = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid, "gelu": GELU}


def mlp(
    inputs: Size,
    outputs: Size,
    sizes: Sequence[Size] = (64, 32),
    activation: Literal["relu", "tanh", "sigmoid", "gelu"] = "relu",
) -> Sequential:
    """A multi-layer perceptron: linear layers of the given sizes, each with an activation, and a linear one to end."""
    modules: list[Module] = []
    for size in sizes:
        modules += [Linear(inputs, size), ACTIVATIONS[activation]()]
        inputs = size
    return Sequential(*modules, Linear(inputs, outputs))
