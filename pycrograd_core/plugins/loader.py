"""Finds plugins through their entry points and loads each on its own.

pluggy's own loader imports every entry point at once and lets the first exception escape, so one broken plugin would
take every command down. Here a failure is kept with its traceback, and is raised only when that plugin is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import Any

import pluggy

from pycrograd_core.errors import PluginError
from pycrograd_core.registry import Registry

from . import specs

BLOCK_VARIABLE = "PYCROGRAD_BLOCK_PLUGINS"  # names of entry points, separated by commas
UNKNOWN = "?"


@dataclass(frozen=True)
class Plugin:
    """One entry point: what it is, and what came of loading it."""

    name: str
    distribution: str
    version: str
    module: Any = None
    failure: BaseException | None = None

    def __str__(self) -> str:
        return f"the plugin {self.name!r} ({self.distribution})"

    @property
    def blocked(self) -> bool:
        """Whether the environment asked for this plugin to be left alone."""
        return self.module is None and self.failure is None


class Plugins:
    """All plugins of this environment, loaded or failed."""

    def __init__(self, found: Iterable[EntryPoint], blocked: frozenset[str], unreadable: Iterable[Plugin] = ()) -> None:
        self._manager = pluggy.PluginManager(specs.PROJECT)
        self._manager.add_hookspecs(specs)
        self.plugins = [*(self._load(entry, entry.name in blocked) for entry in found), *unreadable]
        self.unknown_blocked = sorted(blocked - {plugin.name for plugin in self.plugins})

    def _load(self, entry: EntryPoint, blocked: bool) -> Plugin:
        distribution, version = _identity(entry.dist)
        if blocked:
            return Plugin(entry.name, distribution, version)
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is no part of a command's output
                module = _loaded(entry)
        except (Exception, SystemExit) as failure:  # noqa: BLE001  whatever it raises is kept, and shown on request
            return Plugin(entry.name, distribution, version, failure=failure)
        if self._manager.has_plugin(entry.name):
            taken = PluginError(f"another plugin is called {entry.name!r} too: uninstall one of them")
            return Plugin(entry.name, distribution, version, failure=taken)
        try:
            self._manager.register(module, name=entry.name)
            self._manager.check_pending()
        except Exception as failure:  # noqa: BLE001  as above
            if self._manager.has_plugin(entry.name):
                self._manager.unregister(name=entry.name)
            return Plugin(entry.name, distribution, version, failure=failure)
        return Plugin(entry.name, distribution, version, module)

    def call(self, hook: str) -> Iterator[tuple[Plugin, Any]]:
        """Each loaded plugin that implements the hook, with what it returned or the exception that it raised."""
        by_name = {plugin.name: plugin for plugin in self.plugins if plugin.module is not None}
        for implementation in getattr(self._manager.hook, hook).get_hookimpls():
            try:
                with redirect_stdout(sys.stderr):
                    result = implementation.function()
            except (Exception, SystemExit) as failure:  # noqa: BLE001  as above: one plugin's failure is its own
                result = failure
            yield by_name[implementation.plugin_name], result

    def gather(self, hook: str, kind: type) -> tuple[list[tuple[Plugin, Any]], list[str]]:
        """Plugins with what they returned from a hook, which is to be of a kind; and what is wrong with the others."""
        returned = []
        troubles = [f"{plugin} is broken: {plugin.failure!r}" for plugin in self.plugins if plugin.failure is not None]
        for plugin, result in self.call(hook):
            if isinstance(result, kind):
                returned.append((plugin, result))
            else:
                failed = isinstance(result, BaseException)
                trouble = repr(result) if failed else f"returned no {kind.__name__.lower()}: {result!r}"
                troubles.append(f"{plugin} failed in {hook}: {trouble}")
        return returned, troubles

    def extend(self, hook: str, registry: Registry) -> None:
        """Register what plugins return from a hook. What is wrong with others becomes a note of the registry."""
        returned, troubles = self.gather(hook, Mapping)
        registry.notes += troubles
        for _, factories in returned:
            for name, factory in factories.items():
                try:
                    registry.register(name, factory)
                except PluginError as taken:
                    registry.notes.append(str(taken))


def _found() -> tuple[list[EntryPoint], list[Plugin]]:
    """The entry points of all plugins by name, and what stands for distributions whose own cannot be read."""
    unreadable: dict[str, Plugin] = {}
    try:
        found = [*entry_points(group=specs.PROJECT)]
    except Exception:  # noqa: BLE001  of any distribution here, perhaps of one that has nothing to do with this project
        found, known = [], set()
        for distribution in distributions():
            name, version = _identity(distribution)
            if name in known:  # another, that is found later and so is not imported
                continue
            known |= {name} - {UNKNOWN}
            try:
                found += distribution.entry_points.select(group=specs.PROJECT)
            except Exception as failure:  # noqa: BLE001  kept, as what a plugin raises is
                trouble = PluginError(f"its entry_points.txt cannot be read: {failure}")
                trouble.__cause__ = failure
                unreadable[name] = Plugin(name, name, version, failure=trouble)
    return sorted(found, key=lambda entry: entry.name), [*unreadable.values()]


def _loaded(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except AttributeError:
        if EntryPoint.pattern.match(entry.value):
            raise
        raise PluginError(f"its entry point is {entry.value!r}, which names no module") from None


def _identity(distribution: Distribution | None) -> tuple[str, str]:
    """The name and version of a distribution. What is half uninstalled may not have them any more."""
    try:
        metadata: Any = distribution.metadata if distribution is not None else {}
    except FileNotFoundError:
        metadata = {}
    return metadata.get("Name") or UNKNOWN, metadata.get("Version") or UNKNOWN


@cache
def installed() -> Plugins:
    """The plugins of this environment, found and loaded once."""
    blocked = frozenset(name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip())
    found, unreadable = _found()
    return Plugins(found, blocked, unreadable)
