"""The hooks that a plugin may implement, and what it returns from them.

A plugin is a module named by an entry point of the group `pycrograd`. Importing it must import nothing heavy: it only
registers. Every hook starts with `pycrograd_`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pycrograd_core.benchmark import Contestant
    from pycrograd_core.capture.program import Program
    from pycrograd_core.matrix import Matrix
    from pycrograd_core.op import Op

PROJECT = "pycrograd"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True)
class Probe:
    """What a backend found on this machine: its devices, and the reason why there are none, or some are missing."""

    version: str = ""
    devices: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that a backend looked at on this machine: whether it is well, what it is and, if not, what mends it.

    `essential`: where this is not well, the backend cannot be used as things are.
    """

    what: str
    ok: bool
    detail: str = ""
    mend: str = ""
    essential: bool = False


@dataclass(frozen=True)
class Tuned:
    """What came of tuning one thing: the parameters chosen for it, and seconds before, after and of other ways.

    `kept` says whether the backend will use them from now on, because they are right and faster.
    """

    what: str
    chosen: str
    before: float
    after: float
    rulers: Mapping[str, float] = field(default_factory=dict)
    kept: bool = True


@dataclass(frozen=True)
class BackendSpec:
    """A backend, before anything of it is imported.

    `contract` is the (major, minor) version it was written for; `load(device)` imports it and returns the matrix class
    bound to a device (None: the backend's own choice); `probe()` says what devices there are. Of the installed backends
    the one with the highest `priority` is the default. `diagnose()` looks closer than `probe()`, and may take its time:
    at drivers, files and variables, whatever decides which devices there are and which of them work.
    `tune(program, device, seconds, notice)` looks for faster ways to run a program, for about so many seconds, stores
    what it finds and that is right, and says how far it is by calling `notice` with a line.
    """

    name: str
    contract: tuple[int, int]
    summary: str
    load: Callable[[str | None], type[Matrix]]
    probe: Callable[[], Probe]
    priority: int = 0
    diagnose: Callable[[], Sequence[Finding]] | None = None
    tune: Callable[[Program, str | None, float, Callable[[str], None]], Sequence[Tuned]] | None = None


@hookspec
def pycrograd_register_backends() -> list[BackendSpec]:  # type: ignore[empty-body]
    """Return the backends of this plugin."""


@hookspec
def pycrograd_register_ops() -> Sequence[Op]:  # type: ignore[empty-body]
    """Return ops that `define_op` made, each with samples and a decomposition: `pycrograd check` tries them too."""


@hookspec
def pycrograd_register_datasets() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return data sets by name: functions of their options (and `seed`) that return a `data.Dataset`."""


@hookspec
def pycrograd_register_layers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return layers by name: functions of `in_features` and their options that return an `nn.Module`."""


@hookspec
def pycrograd_register_models() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return models by name: functions of `inputs`, `outputs` and their options that return an `nn.Module`."""


@hookspec
def pycrograd_register_losses() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return losses by name: functions of their options that return a `training.Loss`."""


@hookspec
def pycrograd_register_optimisers() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return optimisers by name: functions of `parameters` and their options that return an `optim.Optimiser`."""


@hookspec
def pycrograd_register_schedules() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return schedules by name: functions of `total_steps` and their options, each a function step -> factor."""


@hookspec
def pycrograd_register_callbacks() -> Mapping[str, Callable[..., Any]]:  # type: ignore[empty-body]
    """Return run callbacks by name: functions of `folder` and their options that return a `training.Callback`."""


@hookspec
def pycrograd_register_contestants() -> Mapping[str, Contestant]:  # type: ignore[empty-body]
    """Return benchmark contestants by name: functions of a `benchmark.Problem` that return their `benchmark.Work`."""
