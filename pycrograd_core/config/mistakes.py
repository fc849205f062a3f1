"""Several mistakes told at once, so that a configuration is mended in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycrograd_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Mistakes(ConfigError):  # noqa: N818  one or many, it is caught as ConfigError
    """Two or more mistakes in the order of the file: the first has the place, the rest follow one to a line."""

    def __init__(self, found: Iterable[ConfigError]) -> None:
        self.found = tuple(sorted(found, key=_position))
        first, *rest = self.found
        more = f"and {len(rest)} more mistake{'s' if len(rest) > 1 else ''}:"
        super().__init__("\n".join([first.message, more, *map(str, rest)]), first.file, first.line, first.column)

    def __reduce__(self) -> tuple[type[Mistakes], tuple[tuple[ConfigError, ...]]]:
        return type(self), (self.found,)


def combined(errors: Iterable[ConfigError]) -> ConfigError:
    """One error for one or more."""
    found = [mistake for error in errors for mistake in (error.found if isinstance(error, Mistakes) else (error,))]
    return found[0] if len(found) == 1 else Mistakes(found)


def _position(mistake: ConfigError) -> tuple[bool, int, int]:
    # an override has no line; what is wrong in the file comes first
    return mistake.line is None, mistake.line or 0, mistake.column or 0
