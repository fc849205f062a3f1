"""A configuration file to a checked configuration."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycrograd_core.registry import nearest

from .explain import show
from .node import Node, Place
from .overrides import Option, override
from .source import read, read_file
from .train import NAMED, read_train

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .schema import Registries, TrainConfig


@dataclass(frozen=True)
class Kind:
    """A kind of configuration: how its values are read, and where in them a mere name is a component."""

    read: Callable[[Node, Registries], TrainConfig]
    named: frozenset[str]


KINDS = {"train": Kind(read_train, NAMED)}


def load_config(path: str | Path, registries: Registries, overrides: Sequence[str | Option] = ()) -> TrainConfig:
    """The configuration in a YAML file, with `path=value` overrides (`--set`) and other options put in.

    Raises ConfigError, at `file:line:column`, for the mistakes in it.
    """
    return parse_config(read_file(path), str(path), registries, overrides)


def parse_config(
    text: str, file_name: str, registries: Registries, overrides: Sequence[str | Option] = ()
) -> TrainConfig:
    """The configuration in YAML text; `file_name` is what its places say. Raises ConfigError as `load_config` does."""
    root = read(text, lambda line, column: Place(file_name, line, column))
    if root.value is None:
        raise root.error("the configuration is empty; expected keys and values, beginning with 'kind: train'")
    if not isinstance(root.value, dict):
        raise root.error(f"expected keys and values, beginning with 'kind: train', found {show(root.value)}")
    root = override(root, overrides, frozenset[str]().union(*(kind.named for kind in KINDS.values())))
    return _kind(root).read(root, registries)


def _kind(root: Node) -> Kind:
    node = root.children.get("kind")
    if node is None:
        typo = next(iter(difflib.get_close_matches("kind", root.children, n=1)), None)
        hint = f"; did you mean 'kind' by {typo!r}?" if typo else ""
        raise root.error(
            f"missing the key 'kind', which says what the configuration is for{hint}. {nearest('', KINDS)}"
        )
    if not isinstance(node.value, str):
        raise node.error(f"expected the kind of the configuration, found {show(node.value)}. {nearest('', KINDS)}")
    if node.value not in KINDS:
        raise node.error(f"there is no kind {node.value!r}; {nearest(node.value, KINDS)}")
    return KINDS[node.value]
