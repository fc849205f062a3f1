"""A configuration's values, each with the place where it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def below(path: str, step: str | int) -> str:
    """The dotted path of a part of the value at `path`."""
    return f"{path}.{step}" if path else str(step)


@dataclass(frozen=True)
class Place:
    """A file, line and column, both counted from 1. An override has only a `file`: its text on the command line."""

    file: str | None = None
    line: int | None = None
    column: int | None = None

    def error(self, message: str) -> ConfigError:
        """The mistake `message`, at this place."""
        return ConfigError(message, self.file, self.line, self.column)


@dataclass(frozen=True)
class Node:
    """A value, its dotted path from the top (`model.0.linear`), its place, and the place of the key it belongs to."""

    value: str | int | float | bool | list[Node] | dict[str, Node] | None
    path: str
    place: Place
    key: Place

    @property
    def children(self) -> Mapping[str, Node]:
        """The values inside a mapping by key, or inside a list by index; none inside a scalar."""
        if isinstance(self.value, list):
            return {str(index): item for index, item in enumerate(self.value)}
        return self.value if isinstance(self.value, dict) else {}

    def find(self, steps: Iterable[str | int]) -> Node:
        """The value at the end of the steps. A step that leads nowhere is skipped, so the nearest value is found."""
        node = self
        for step in steps:
            node = node.children.get(str(step), node)
        return node

    def leaves(self) -> Iterator[Node]:
        """The scalars in this value."""
        if not isinstance(self.value, list | dict):
            yield self
        for child in self.children.values():
            yield from child.leaves()

    def plain(self) -> Any:
        """The value without its places."""
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        return self.value

    def error(self, message: str, place: Place | None = None) -> ConfigError:
        """The mistake `message` about this value, at its own place unless told another."""
        return (place or self.place).error(f"{self.path}: {message}" if self.path else message)
