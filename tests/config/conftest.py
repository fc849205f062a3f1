"""Registries with small factories, so that these tests need no other part of the package."""

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Len, Lt
from pydantic import AfterValidator

from pycrograd_core.config import Registries
from pycrograd_core.registry import Registry

Size = Annotated[int, Gt(0)]


class Padding(Enum):
    SAME = "same"
    NONE = "none"


class Generator:
    """A type that pydantic does not know."""


def check_even(number: int) -> int:
    if number % 2:
        raise ValueError("expected an even number")
    return number


class Linear:
    def __init__(
        self,
        in_features: int,
        out_features: Size,
        bias: bool = True,
        initialiser: Literal["kaiming_uniform", "xavier_uniform"] = "kaiming_uniform",
    ):
        pass


class Relu:
    pass


class Dropout:
    def __init__(self, probability: Annotated[float, Ge(0), Lt(1)] = 0.5):
        pass


class Table:
    """One option of each type that a factory can ask for."""

    def __init__(
        self,
        sizes: Sequence[Size] = (1,),
        window: tuple[int, int] = (3, 3),
        scales: tuple[float, ...] = (),
        weights: dict[str, float] | None = None,
        padding: Padding = Padding.SAME,
        axis: Literal["rows", "columns"] | None = None,
        file: Path = Path("table.csv"),
        separator: Annotated[str, Len(1, 1)] = ",",
        slope: Annotated[float, Interval(ge=0, le=1)] = 0.5,
        limit: float | Literal["auto"] = "auto",
        activation: Callable[[float], float] = abs,
        matrix: list[list[int]] | int = 0,
        even: Annotated[int, AfterValidator(check_even)] = 0,
        generator: Generator | None = None,
        anything=None,
    ):
        pass


def mlp(sizes: Annotated[list[Size], Len(1)], inputs: int, activation: str = "relu") -> Any:
    pass


def digits() -> Any:
    pass


def moons(samples: Size = 100, noise: Annotated[float, Ge(0)] = 0.1, *, seed: int) -> Any:
    pass


def csv(path: str, delimiter: str = ",") -> Any:
    pass


def cross_entropy(smoothing: Annotated[float, Ge(0), Lt(1)] = 0.0) -> Any:
    pass


def sgd(parameters: Any, learning_rate: Annotated[float, Gt(0)], momentum: Annotated[float, Ge(0)] = 0.0) -> Any:
    pass


def adam(
    parameters: Any, learning_rate: Annotated[float, Gt(0)] = 0.001, betas: tuple[float, float] = (0.9, 0.999)
) -> Any:
    pass


def constant() -> Any:
    pass


def step(every: Size, factor: float = 0.1) -> Any:
    pass


def board(folder: Path, logdir: Path | None = None, every: Size = 1) -> Any:
    pass


def clock() -> Any:
    pass


def registry(kind: str, supplied: tuple[str, ...], **factories: Any) -> Registry:
    made = Registry(kind, supplied)
    for name, factory in factories.items():
        made.register(name, factory)
    return made


@pytest.fixture(scope="session")
def registries() -> Registries:
    return Registries(
        datasets=registry("data set", ("seed",), digits=digits, moons=moons, csv=csv),
        layers=registry("layer", ("in_features",), linear=Linear, relu=Relu, dropout=Dropout, table=Table),
        models=registry("model", ("inputs",), mlp=mlp),
        losses=registry("loss", (), cross_entropy=cross_entropy),
        optimisers=registry("optimiser", ("parameters",), sgd=sgd, adam=adam),
        schedules=registry("schedule", (), constant=constant, step=step),
        callbacks=registry("callback", ("folder",), board=board, clock=clock),
    )
