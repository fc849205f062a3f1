"""From a backend's name to its matrix class, with the reason where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache

from pycrograd_core.errors import BackendError, PluginError, PycrogradError
from pycrograd_core.matrix import CONTRACT, Matrix
from pycrograd_core.registry import nearest

from .loader import BLOCK_VARIABLE, Plugin, installed
from .specs import BackendSpec, Probe

DEFAULT_VARIABLE = "PYCROGRAD_BACKEND"

_chosen: ContextVar[type[Matrix] | None] = ContextVar("pycrograd_backend", default=None)


@dataclass(frozen=True)
class Candidate:
    """A backend that a plugin registered, or a plugin that should have registered one and failed."""

    name: str
    plugin: Plugin
    spec: BackendSpec | None
    failure: BaseException | None = None

    def probe(self) -> Probe:
        """What the backend finds on this machine. A probe that raises is a reason, not a crash."""
        if self.failure is not None:
            return Probe(reason=f"{type(self.failure).__name__}: {self.failure}")
        if self.spec is None:
            return Probe(reason=f"blocked by {BLOCK_VARIABLE}")
        try:
            found = self.spec.probe()
        except (Exception, SystemExit) as failure:  # noqa: BLE001  drivers and their bindings raise anything
            return Probe(reason=f"{type(failure).__name__}: {failure}")
        return found if isinstance(found, Probe) else Probe(reason=f"probe() returned {found!r}, no Probe")


@cache
def candidates() -> dict[str, Candidate]:
    """Every backend by name, also those whose plugin is broken or blocked."""
    found: dict[str, Candidate] = {}
    without = [(plugin, plugin.failure) for plugin in installed().plugins if plugin.module is None]
    for plugin, result in installed().call("pycrograd_register_backends"):
        if isinstance(result, BaseException):
            without.append((plugin, result))
        elif not isinstance(result, list) or not all(isinstance(spec, BackendSpec) for spec in result):
            without.append((plugin, PluginError("pycrograd_register_backends() must return a list of BackendSpec")))
        else:
            for spec in result:
                found[spec.name] = Candidate(spec.name, plugin, spec, _objection(spec, plugin, found.get(spec.name)))
    for plugin, failure in without:
        name = plugin.name if plugin.name not in found else f"{plugin.name} of {plugin.distribution}"
        found[name] = Candidate(name, plugin, None, failure)
    return found


def _objection(spec: BackendSpec, plugin: Plugin, taken: Candidate | None) -> Exception | None:
    """Why a backend cannot be registered as it is, if so."""
    if taken is not None:
        return BackendError(
            f"{plugin.distribution} and {taken.plugin.distribution} both register a backend {spec.name!r}: remove one"
        )
    if not isinstance(spec.contract, tuple) or [*map(type, spec.contract)] != [int, int]:
        return BackendError(f"{plugin.distribution} is written for contract {spec.contract!r}, which is no (1, 0)")
    if spec.contract[0] != CONTRACT[0] or spec.contract[1] > CONTRACT[1]:
        theirs, ours = (".".join(map(str, version)) for version in (spec.contract, CONTRACT))
        return BackendError(f"{plugin.distribution} is written for contract {theirs}; this core has {ours}")
    return None


def unknown_backend(name: str) -> BackendError:
    """What to say of a backend that there is not."""
    for plugin in installed().plugins:
        if plugin.name == name:
            return BackendError(f"{plugin} registers no backend: `pycrograd_register_backends` needs its `@hookimpl`")
    return BackendError(f"there is no backend {name!r} installed; {nearest(name, candidates())}")


def get_backend(name: str, device: str | None = None) -> type[Matrix]:
    """The matrix class of a backend on a device (None: the backend's own choice).

    Raises BackendError if there is no such backend, if its plugin is broken (with its traceback as the cause), if it
    cannot run on this machine, or if it lacks a kernel.
    """
    return _loaded(name, device)


@cache
def _loaded(name: str, device: str | None) -> type[Matrix]:
    candidate = candidates().get(name)
    if candidate is None:
        raise unknown_backend(name)
    if candidate.failure is not None:
        raise BackendError(f"the backend {name!r} is broken: {candidate.failure}") from candidate.failure
    if candidate.spec is None:
        raise BackendError(f"the backend {name!r} is blocked by {BLOCK_VARIABLE}")
    try:
        matrix = candidate.spec.load(device)
    except PycrogradError:
        raise
    except (Exception, SystemExit) as failure:
        raise BackendError(f"the backend {name!r} cannot be loaded: {type(failure).__name__}: {failure}") from failure
    if not (isinstance(matrix, type) and issubclass(matrix, Matrix)):
        raise BackendError(f"the backend {name!r} is broken: load() returned {matrix!r}, not a subclass of Matrix")
    missing = sorted(getattr(matrix, "__abstractmethods__", ()))
    if missing:
        raise BackendError(f"the backend {name!r} lacks the kernels {', '.join(missing)}")
    matrix.backend = name
    return matrix


def default_backend() -> type[Matrix]:
    """The backend of `use_backend`, else of the environment variable PYCROGRAD_BACKEND, else of highest priority."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    named = os.environ.get(DEFAULT_VARIABLE)
    if named:
        return get_backend(named)
    registered = [candidate.spec for candidate in candidates().values() if candidate.spec is not None]
    if not registered:
        raise BackendError("no backend is installed: install one, such as a distribution called pycrograd-NAME")
    # the one of highest priority even if it is broken: another in its place would be a silent fallback
    return get_backend(max(registered, key=lambda spec: (spec.priority, spec.name)).name)


@contextmanager
def use_backend(backend: str | type[Matrix], device: str | None = None) -> Iterator[type[Matrix]]:
    """Make tensors on this backend inside a `with` block, unless they name another."""
    matrix = get_backend(backend, device) if isinstance(backend, str) else backend
    token = _chosen.set(matrix)
    try:
        yield matrix
    finally:
        _chosen.reset(token)
