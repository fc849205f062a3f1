"""What a Program costs: kernels launched, arithmetic, bytes moved."""

from __future__ import annotations

from collections.abc import Iterable

from .program import Region, Step


def kernels(body: Iterable[Step]) -> list[Step]:
    """What a backend launches: each step is one, but a row-local region is as many as there are in it."""
    found: list[Step] = []
    for step in body:
        if isinstance(step, Region) and step.kind == "rows":
            found += kernels(step.body)
        else:
            found.append(step)
    return found


def traffic(step: Step) -> int:
    """Bytes read and written by a kernel that reads each input once and writes each output once."""
    return sum(value.bytes for value in dict.fromkeys((*step.inputs, *step.outputs)))


def size(count: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} GiB"
