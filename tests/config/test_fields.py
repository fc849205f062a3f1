"""How options are taken from the signatures of the factories that plugins may register."""

import functools
from typing import TYPE_CHECKING, Annotated

import pytest
from annotated_types import Gt

from pycrograd_core.config import parse_config
from pycrograd_core.errors import ConfigError, PluginError
from pycrograd_core.registry import Registry

if TYPE_CHECKING:
    from decimal import Decimal

TEXT = """\
kind: train
name: test
data: {dataset: digits}
model: [layer: 3]
loss: cross_entropy
optimiser: adam
training: {epochs: 1, batch_size: 1}
"""


def options(registries, factory, text="3"):
    layers = Registry("layer", ["in_features"])
    layers.register("layer", factory)
    values = {**vars(registries), "layers": layers}
    return parse_config(TEXT.replace("3", text, 1), "run.yaml", type(registries)(**values)).model[0].options


def quoted(in_features: "Decimal", size: "Annotated[int, Gt(0)]", scale: "float | None" = None):
    """What `from __future__ import annotations` makes of a signature; the first type is not there at run time."""


class Base:
    def __init__(self, size: "Annotated[int, Gt(0)]", scale: "float | None" = None):
        pass


class Inherits(Base):
    pass


class Callable:
    def __call__(self, size: int, scale: float | None = None):
        pass


@functools.wraps(quoted)
def wrapped(*args, **kwargs):
    pass


def flexible(size: int, *args: int, scale: float | None = None, **kwargs: int):
    pass


FACTORIES = {
    "function": quoted,
    "class": Base,
    "inherited": Inherits,
    "callable": Callable(),
    "partial": functools.partial(quoted, scale=None),
    "partial class": functools.partial(Base, scale=None),
    "wrapped": wrapped,
    "variadic": flexible,
}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_options_come_from_the_signature(registries, factory):
    assert options(registries, factory) == {"size": 3, "scale": None}
    with pytest.raises(ConfigError, match=r"model.0.layer.size: expected a whole number.*found 'three'"):
        options(registries, factory, "three")


def test_an_annotation_that_is_not_there_at_run_time_is_the_plugin_s_mistake(registries):
    def factory(size: "Decimal"):
        pass

    with pytest.raises(PluginError, match=r"test_fields.*factory.*'Decimal'.*outside `if TYPE_CHECKING`"):
        options(registries, factory)


def test_options_may_have_any_name(registries):
    def factory(model_config: int, schema: int = 1, copy: int = 2, _private: int = 3, json: str = "x"):
        pass

    assert options(registries, factory) == {"model_config": 3, "schema": 1, "copy": 2, "_private": 3, "json": "x"}


def test_a_default_of_none_needs_no_annotation_that_says_so(registries):
    def factory(size: int, scale: float = None):  # noqa: RUF013
        pass

    assert options(registries, factory) == {"size": 3}
