"""Named factories: the data sets, layers, models, losses, optimisers, schedules and callbacks of a configuration.

A factory is an ordinary function or class. Its keyword parameters, with their annotations and defaults, are the options
that a configuration may give; the parameters listed in `supplied` are filled in by the run itself (a layer's
`in_features`, an optimiser's `parameters`). Nothing is declared twice.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .errors import PluginError, PycrogradError

Factory = Callable[..., Any]


def nearest(name: str, choices: Iterable[str]) -> str:
    """A sentence that points from a mistyped name to the nearest right one, and lists the choices."""
    names = sorted(choices)
    match = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {match[0]!r}? " if match else ""
    return f"{hint}Known: {', '.join(names) or 'none'}"


class UnknownNameError(PycrogradError, KeyError):
    """A name that no registry entry has."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, Factory]):
    """Factories of one kind by name. A name is registered once; a second registration is an error that names both."""

    def __init__(self, kind: str, supplied: Iterable[str] = ()) -> None:
        self.kind = kind
        self.supplied = frozenset(supplied)
        self.notes: list[str] = []  # reasons why a name may be missing, told with every name that is
        self._factories: dict[str, Factory] = {}

    def missing(self, name: str) -> str:
        """What to say of a name that nothing has: the nearest one, the names there are, and what may have lost it."""
        return "; ".join([f"there is no {self.kind} {name!r}; {nearest(name, self)}", *self.notes])

    def register(self, name: str, factory: Factory) -> Factory:
        """Add a factory. Raises PluginError if the name is taken by another one, or if it is no factory."""
        if not isinstance(name, str) or not callable(factory):
            raise PluginError(f"the {self.kind} {name!r} is {factory!r}, which is no function")
        taken = self._factories.get(name)
        if taken is not None and taken is not factory:
            raise PluginError(
                f"the {self.kind} {name!r} is registered twice: by {taken.__module__} and by {factory.__module__}"
            )
        self._factories[name] = factory
        return factory

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """The parameters that a configuration may set, in the order of the factory's signature."""
        parameters = inspect.signature(self[name]).parameters
        return {
            key: parameter
            for key, parameter in parameters.items()
            if key not in self.supplied and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        }

    def __getitem__(self, name: str) -> Factory:
        try:
            return self._factories[name]
        except KeyError:
            raise UnknownNameError(self.missing(name)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._factories

    def __iter__(self) -> Iterator[str]:
        return iter(self._factories)

    def __len__(self) -> int:
        return len(self._factories)
