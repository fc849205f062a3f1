"""Values given on the command line, `--set training.epochs=5` or `--epochs 5`, in place of those in the file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from .explain import show
from .node import Node, Place, below
from .source import DEEPEST, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class Option(NamedTuple):
    """The value of an option of the command line, as it was typed (`--epochs 5`), and the path that it stands for."""

    typed: str
    path: str
    value: str | int


def override(root: Node, overrides: Iterable[str | Option], named: Collection[str]) -> Node:
    """The values with each `path=value` put in, in order. The value is YAML; missing mappings on the way are made.

    At the paths in `named`, a mere name stands for a mapping with that `name`. Raises ConfigError for an override that
    has another form, or whose path leads through a scalar or past the end of a list. An option is its value, not YAML.
    """
    for each in overrides:
        new = _option(each) if isinstance(each, Option) else _setting(each)
        root = _with(root, new.path.split("."), new, named)
    return root


def _option(option: Option) -> Node:
    place = _place(option.typed)
    return Node(option.value, option.path, place, place)


def _setting(text: str) -> Node:
    path, separator, value = text.partition("=")
    place = _place(f"--set {text}")
    steps = path.strip().split(".")
    if not separator or not all(steps):
        raise place.error("expected PATH=VALUE, such as training.epochs=5 or model.0.linear=64")
    if len(steps) > DEEPEST:
        raise place.error(f"more than {DEEPEST} levels deep")
    return read(value, lambda _line, _column: place, ".".join(steps))


def _place(typed: str) -> Place:
    # the command line may hold bytes that are not text
    return Place(typed.encode("utf-8", "backslashreplace").decode("utf-8"))


def _with(node: Node, steps: list[str], new: Node, named: Collection[str]) -> Node:
    """A copy of `node` in which the value at the end of the steps is `new`."""
    if not steps:
        return new
    step, *rest = steps
    if node.value is None:
        node = replace(node, value={})
    elif isinstance(node.value, str) and node.path in named:
        node = replace(node, value={"name": replace(node, path=below(node.path, "name"))})
    children = dict(node.children)
    if isinstance(node.value, list) and step not in children:
        expected = (
            f"a list of {len(children)}: expected an index from 0 to {len(children) - 1}" if children else "empty"
        )
        raise new.place.error(f"{node.path} is {expected}, found {step!r}")
    if not isinstance(node.value, list | dict):
        raise new.place.error(f"{node.path} is {show(node.value)}, which has no parts; set {node.path} as a whole")
    child = children.get(step, Node({}, below(node.path, step), new.place, new.place))
    children[step] = _with(child, rest, new, named)
    return replace(node, value=list(children.values()) if isinstance(node.value, list) else children)
