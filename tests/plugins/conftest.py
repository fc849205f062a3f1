"""Plugins put beside those of this environment for the time of a test."""

import sys
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pycrograd_core.benchmark import register
from pycrograd_core.op import TABLE, undefine
from pycrograd_core.plugins import backends, candidates, hookimpl, ops, plugin_ops
from pycrograd_core.plugins.loader import Plugins
from pycrograd_core.training import catalogue, registries

EXAMPLES = Path(__file__).parents[2] / "examples"
CACHES = (candidates, plugin_ops, registries)


@pytest.fixture
def plugged(monkeypatch):
    """Makes plugins of modules, or of functions by hook. What they register is gone after the test."""
    known = vars(registries()).values()
    before = [(registry, dict(registry._factories), list(registry.notes)) for registry in known]

    def plug(**modules):
        entries = list(entry_points(group="pycrograd"))
        for name, module in modules.items():
            if isinstance(module, dict):
                module = SimpleNamespace(**{hook: hookimpl(function) for hook, function in module.items()})
            distribution = SimpleNamespace(metadata={"Name": f"{name}-dist", "Version": "1.0"})
            entries.append(SimpleNamespace(name=name, dist=distribution, load=lambda module=module: module))
        plugins = Plugins(entries, frozenset())
        for user in (backends, catalogue, ops, register):
            monkeypatch.setattr(user, "installed", lambda: plugins)
        for cache in CACHES:
            cache.cache_clear()

    yield plug
    monkeypatch.undo()
    for registry, factories, notes in before:
        registry._factories, registry.notes = factories, notes
    for cache in CACHES:
        cache.cache_clear()


@pytest.fixture
def table():
    """The op table, as it was before the test."""
    before = set(TABLE)
    yield
    for name in set(TABLE) - before:
        undefine(name)


@pytest.fixture
def example(table, monkeypatch):
    """Imports the module of an example."""

    def load(folder):
        name = f"pycrograd_{folder}"
        spec = spec_from_file_location(name, EXAMPLES / folder / f"{name}.py")
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # where annotations are looked up
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def written(table):
    """Makes a module of source text."""

    def make(source):
        module = ModuleType("written")
        exec(source, vars(module))
        return module

    return make
