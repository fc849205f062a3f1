"""Captured programs as kernels: planned, generated and launched as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pycrograd_core.capture.program import Program

if TYPE_CHECKING:
    from ..matrix import OpenCLMatrix


def compiled(program: Program) -> Callable[..., Sequence[Any]] | None:
    """The function of a program; None if it has a step that only the kernels of eager mode can do."""
    from .homes import gather
    from .run import Run
    from .schedule import schedule

    matrix: type[OpenCLMatrix] = program.matrix  # type: ignore[assignment]
    gather(matrix.runtime, program.states.values())  # type: ignore[arg-type]
    made = schedule(program, matrix.runtime.device)
    return None if made is None else Run(program, made)
