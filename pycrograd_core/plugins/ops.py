"""The ops that plugins register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from pycrograd_core.op import TABLE, Op

from .loader import installed


@dataclass(frozen=True)
class PluginOps:
    """The ops of plugins, which are in the table now, and what is wrong with those that are not among them."""

    ops: tuple[Op, ...]
    troubles: tuple[str, ...]


@cache
def plugin_ops() -> PluginOps:
    """Ask every plugin for its ops. What one of them does wrong is its own trouble."""
    returned, troubles = installed().gather("pycrograd_register_ops", Sequence)
    found: list[Op] = []
    for plugin, ops in returned:
        for op in ops:
            objection = _objection(op)
            if objection:
                troubles.append(f"{plugin}: {objection}")
            else:
                found.append(op)
    return PluginOps(tuple(found), tuple(troubles))


def _objection(op: object) -> str | None:
    """Why an op cannot be checked, if so."""
    if not isinstance(op, Op):
        return f"{op!r} is no op: make one with define_op"
    if TABLE.get(op.name) is not op:
        return f"the op {op.name!r} is not the one in the table: make it with define_op, and once"
    if op.decomposition is None:
        return f"the op {op.name!r} needs a decomposition, or no other backend computes it"
    if not op.samples:
        return f"the op {op.name!r} needs samples, or nothing of it could be checked"
    return None
