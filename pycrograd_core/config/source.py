"""From YAML text to values with places. Whatever is not plain data in well-formed YAML is a ConfigError."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import ReaderError

from pycrograd_core.registry import nearest

from .node import Node, Place, below
from .scalars import Scalar, scalar, use_core_schema

if TYPE_CHECKING:
    from pycrograd_core.errors import ConfigError

Locate = Callable[[int, int], Place]

DEEPEST = 40  # levels of nesting
_MOST = 100_000  # values, aliases expanded: a few lines of aliases to aliases can stand for billions

# what PyYAML says, what to say instead, and whether the place is where the construct began
_SYNTAX = (
    (r"found character '\\t'", "a tab cannot be used here; indent with spaces", False),
    (r"found character '(.)' that cannot start", r"a value cannot begin with {0}; put it in quotes", False),
    (r"mapping values are not allowed", "a ':' is not expected here; check the indentation, or quote the text", False),
    (r"sequence entries are not allowed", "a list cannot begin here; give each '- ' a line of its own", False),
    (r"expected the node content, but found (.*)", "expected a value, found {0}", False),
    (r"expected '<document start>'", "this line is neither a key of the mapping above nor a part of its value", False),
    (r"could not find expected ':'", "expected ':' after this key", True),
    (r"expected <block end>", "this line does not fit the indentation of the lines above it", False),
    (r"expected ',' or '(.)'", "expected ',' or '{0}' in the list or mapping that begins on line {line}", False),
    (r"found unexpected end of stream", "the quotation mark that opens here is never closed", True),
    (r"found undefined alias '?(.*?)'?$", "the alias *{0} has no anchor &{0} above it", False),
    (r"but found another document", "expected a single document; remove this second one", False),
)


def read_file(path: str | Path) -> str:
    """The text of a file. Raises ConfigError if there is none, or if it is not UTF-8."""
    file = Path(path)
    place = Place(str(path))
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        others = [other.name for other in file.parent.glob("*.y*ml")]
        hint = f"; {nearest(file.name, others)}" if others else ""
        raise place.error(f"there is no such file{hint}") from None
    except IsADirectoryError:
        raise place.error("this is a folder; expected a YAML file") from None
    except OSError as error:
        raise place.error(f"the file cannot be read: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        *before, line = content[: error.start].decode("utf-8").split("\n")
        where = Place(str(path), len(before) + 1, len(line) + 1)
        raise where.error(f"expected UTF-8 text, found the byte 0x{content[error.start]:02x}") from None


def read(text: str, locate: Locate, path: str = "") -> Node:
    """The value that YAML text stands for. `locate` makes a place of a line and a column, both counted from 1.

    Raises ConfigError at the first thing that is not well-formed, or not plain data: a key that is not text or that is
    given twice, a tag, a second document, an alias to a value that contains it.
    """
    try:
        loader = _Loader(text)
    except ReaderError as error:
        lines = text[: error.position].split("\n")
        message = f"the character U+{ord(text[error.position]):04X} cannot stand in a YAML file"
        raise locate(len(lines), len(lines[-1]) + 1).error(message) from None
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, locate) from None
    except (ValueError, OverflowError):
        # PyYAML lets these escape, for "\UFFFFFFFF" and for a %YAML directive with thousands of digits
        raise locate(*_position(loader.get_mark())).error("this number is too large") from None
    if root is None:
        return Node(None, path, locate(1, 1), locate(1, 1))
    return _Tree(locate).node(root, path)


class _Loader(yaml.SafeLoader):
    """Composes nodes only: no tags, and no deeper than a configuration can need."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem=f"the tag {event.tag!r} is not allowed", problem_mark=event.start_mark)
        if self.depth == DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"more than {DEEPEST} levels deep", problem_mark=event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


use_core_schema(_Loader)


def _position(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _syntax_error(error: yaml.MarkedYAMLError, locate: Locate) -> ConfigError:
    problem = error.problem or "this is not YAML"
    begin = error.context_mark or error.problem_mark
    for pattern, sentence, at_begin in _SYNTAX:
        if match := re.match(pattern, problem):
            mark = begin if at_begin else error.problem_mark
            message = sentence.format(*match.groups(), line=begin.line + 1 if begin else "?")
            return locate(*_position(mark)).error(message)
    return locate(*_position(error.problem_mark)).error(problem)


class _Tree:
    """Turns PyYAML's nodes into ours. Aliases are expanded, so each value has a path of its own."""

    def __init__(self, locate: Locate) -> None:
        self._locate = locate
        self._open: set[int] = set()
        self._size = 0

    def node(self, source: yaml.Node, path: str, key: Place | None = None) -> Node:
        place = self._place(source)
        self._size += 1
        if self._size > _MOST:
            raise place.error(f"expected at most {_MOST} values, counting each use of an alias")
        if id(source) in self._open:
            raise (key or place).error("an alias cannot stand inside the value that it refers to")
        self._open.add(id(source))
        value: Any
        if isinstance(source, yaml.ScalarNode):
            value = self._scalar(source, place)
        elif isinstance(source, yaml.MappingNode):
            value = self._mapping(source, path)
        else:
            value = [self.node(item, below(path, index)) for index, item in enumerate(source.value)]
        self._open.discard(id(source))
        return Node(value, path, place, key or place)

    def _mapping(self, source: yaml.MappingNode, path: str) -> dict[str, Node]:
        values: dict[str, Node] = {}
        for key_node, value_node in source.value:
            place = self._place(key_node)
            key = self._scalar(key_node, place) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                found = f"{key_node.value!r}" if isinstance(key_node, yaml.ScalarNode) else "a list or a mapping"
                raise place.error(f"expected a name as the key, found {found}")
            if key in values:
                first = values[key].key.line
                raise place.error(f"the key {key!r} is given twice" + (f", first on line {first}" if first else ""))
            values[key] = self.node(value_node, below(path, key), place)
        return values

    def _scalar(self, source: yaml.ScalarNode, place: Place) -> Scalar:
        try:
            value = scalar(source)
            str(value).encode()
        except UnicodeEncodeError:
            raise place.error("half of a surrogate pair is not a character") from None
        except ValueError as error:
            raise place.error(f"{error}, found {source.value[:20]}…") from None
        return value

    def _place(self, source: yaml.Node) -> Place:
        return self._locate(*_position(source.start_mark))
