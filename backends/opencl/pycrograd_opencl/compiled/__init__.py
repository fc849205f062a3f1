"""Captured programs as kernels: planned, generated and launched as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pycrograd_core.capture.program import Program

if TYPE_CHECKING:
    from ..matrix import OpenCLMatrix


def compiled(program: Program) -> Callable[..., Sequence[Any]]:
    """The function of a program."""
    from .homes import gather
    from .run import Run
    from .schedule import schedule
    from .settings import suited

    matrix: type[OpenCLMatrix] = program.matrix  # type: ignore[assignment]
    gather(matrix.runtime, program.states.values())  # type: ignore[arg-type]
    device = matrix.runtime.device
    return Run(program, schedule(program, device, suited(program, device)))
