"""Components: registered names with options, checked against their factories; and lists of them."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from pycrograd_core.errors import ConfigError
from pycrograd_core.registry import Registry, UnknownNameError, nearest

from .explain import show
from .fields import Field, fields_of, read_mapping, typed
from .mistakes import combined
from .node import Node, below
from .schema import Component

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MOST = 10_000  # a slip of the finger in `repeat` should not fill the memory


def read_component(node: Node, registry: Registry) -> Component:
    """A component written as its name, or as a mapping with the key `name` beside its options."""
    if isinstance(node.value, str):
        node = replace(node, value={"name": replace(node, path=below(node.path, "name"))})
    return read_named(node, "name", registry, {})[0]


def read_named(node: Node, key: str, registry: Registry, own: Mapping[str, Field]) -> tuple[Component, dict[str, Any]]:
    """The component named under `key`, in a mapping that has keys of its `own` beside the options; and their values.

    A key of both goes to both, and has the default of the factory.
    """
    if not isinstance(node.value, dict):
        expected = f"expected the {registry.kind}'s name, or a mapping with the key {key!r}"
        raise node.error(f"{expected}, found {show(node.value)}")
    if key not in node.value:
        typo = next(iter(difflib.get_close_matches(key, node.value, n=1)), None)
        hint = f"; did you mean {key!r} by {typo!r}?" if typo else ""
        raise node.error(f"missing the key {key!r}: the {registry.kind}'s name{hint}. {nearest('', registry)}")
    name = node.value[key]
    options = _options(name, registry)
    shared = {
        option: replace(options[option], read=_both(own[option], options[option]))
        for option in own.keys() & options.keys()
    }
    this = Field(f"the {registry.kind}'s name", typed(str))
    values = read_mapping(node, {**own, **options, **shared, key: this}, name.place)
    component = Component(
        values.pop(key), {option: values[option] for option in options if option in values}, name.place
    )
    return component, {option: values.get(option, field.default) for option, field in own.items()}


def read_layers(node: Node, registry: Registry) -> tuple[Component, ...]:
    """The layers of a list, in order, repetitions written out."""
    if not isinstance(node.value, list) or not node.value:
        raise node.error(f"expected a list of one or more layers, found {show(node.value)}")
    return _each(node.value, registry, _layer_or_repetition)


def read_callbacks(node: Node, registry: Registry) -> tuple[Component, ...]:
    """The callbacks of a list, which may be empty, in order."""
    if not isinstance(node.value, list):
        raise node.error(f"expected a list of callbacks, found {show(node.value)}")
    return _each(node.value, registry, lambda item, registry: (_item(item, registry),))


def _each(
    items: list[Node], registry: Registry, read: Callable[[Node, Registry], tuple[Component, ...]]
) -> tuple[Component, ...]:
    """The components of all items. Raises ConfigError with the mistakes of all."""
    components: list[Component] = []
    mistakes: list[ConfigError] = []
    for item in items:
        try:
            components += read(item, registry)
        except ConfigError as mistake:
            mistakes.append(mistake)
        if len(components) > _MOST:
            raise item.error(f"expected at most {_MOST} {registry.kind}s in all")
    if mistakes:
        raise combined(mistakes)
    return tuple(components)


def _layer_or_repetition(item: Node, registry: Registry) -> tuple[Component, ...]:
    """One item of a list of layers: a layer, or `repeat: 3` with its `layers`."""
    repeated = isinstance(item.value, dict) and item.value.keys() & {"repeat", "layers"}
    return _repetition(item, registry) if repeated else (_item(item, registry),)


def _item(item: Node, registry: Registry) -> Component:
    """One item of a list: `relu`, or `linear: 64`, or `linear: {out_features: 64, bias: false}`."""
    kind = registry.kind
    if isinstance(item.value, str):
        return _listed(item, replace(item, value=None, path=below(item.path, item.value)), registry)
    if not isinstance(item.value, dict) or not item.value:
        raise item.error(f"expected a {kind}: its name, or its name with options; found {show(item.value)}")
    if "name" in item.value:
        raise item.error(f"a {kind}'s name is the key of its options, as in NAME: {{OPTION: VALUE}}")
    if len(item.value) > 1:
        first, second, *_ = item.value
        raise item.error(
            f"expected one {kind}, found the keys {', '.join(map(repr, item.value))}; "
            f"options go under the {kind}'s name, as in {first}: {{{second}: …}}",
            item.value[second].key,
        )
    [(name, options)] = item.value.items()
    return _listed(replace(item, value=name, place=options.key), options, registry)


def _repetition(item: Node, registry: Registry) -> tuple[Component, ...]:
    fields = {
        "repeat": Field("how many times", typed(Annotated[int, Gt(0)])),
        "layers": Field("the layers to repeat", partial(read_layers, registry=registry)),
    }
    values = read_mapping(item, fields)
    times: int = values["repeat"]
    block: tuple[Component, ...] = values["layers"]
    if times * len(block) > _MOST:
        raise item.children["repeat"].error(f"expected at most {_MOST} layers in all, found {times * len(block)}")
    return block * times


def _listed(name: Node, options: Node, registry: Registry) -> Component:
    fields = _options(name, registry)
    if options.value is None:
        options = replace(options, value={})
    elif not isinstance(options.value, dict):
        first = next(iter(fields), None)
        if first is None:
            raise options.error(f"{name.value} takes no options, found {show(options.value)}")
        options = replace(options, value={first: replace(options, path=below(options.path, first))})
    return Component(str(name.value), read_mapping(options, fields, name.place), name.place)


def _options(name: Node, registry: Registry) -> dict[str, Field]:
    """The options that a configuration may give to the factory of this name."""
    if not isinstance(name.value, str):
        raise name.error(f"expected the {registry.kind}'s name, found {show(name.value)}")
    try:
        parameters = registry.options(name.value).values()
    except UnknownNameError as error:
        raise name.error(str(error)) from None
    return fields_of(registry[name.value], parameters)


def _both(first: Field, second: Field) -> Any:
    """A reader that takes what both fields accept."""

    def read(node: Node) -> Any:
        first.read(node)
        return second.read(node)

    return read
