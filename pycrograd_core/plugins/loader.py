"""Finds plugins through their entry points and loads each on its own.

pluggy's own loader imports every entry point at once and lets the first exception escape, so one broken plugin would
take every command down. Here a failure is kept with its traceback, and is raised only when that plugin is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from pycrograd_core.errors import PluginError
from pycrograd_core.registry import Registry

from . import specs

BLOCK_VARIABLE = "PYCROGRAD_BLOCK_PLUGINS"  # names of entry points, separated by commas


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

    def __init__(self, found: list[EntryPoint], blocked: frozenset[str]) -> None:
        self._manager = pluggy.PluginManager(specs.PROJECT)
        self._manager.add_hookspecs(specs)
        self.plugins = [self._load(entry, entry.name in blocked) for entry in found]

    def _load(self, entry: EntryPoint, blocked: bool) -> Plugin:
        distribution, version = _identity(entry)
        if blocked:
            return Plugin(entry.name, distribution, version)
        try:
            with redirect_stdout(sys.stderr):  # what a plugin prints is no part of a command's output
                module = entry.load()
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


def _identity(entry: EntryPoint) -> tuple[str, str]:
    """The name and version of a plugin's distribution. What is half uninstalled may not have them any more."""
    try:
        metadata: Any = entry.dist.metadata if entry.dist is not None else {}
    except FileNotFoundError:
        metadata = {}
    return metadata.get("Name") or "?", metadata.get("Version") or "?"


@cache
def installed() -> Plugins:
    """The plugins of this environment, found and loaded once."""
    blocked = frozenset(name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",") if name.strip())
    return Plugins(sorted(entry_points(group=specs.PROJECT), key=lambda entry: entry.name), blocked)
