"""Captured programs as kernels: planned, generated and launched as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pycrograd_core.capture.program import Program

if TYPE_CHECKING:
    from ..matrix import OpenCLMatrix


def compiled(program: Program, matrix: type[OpenCLMatrix]) -> Callable[..., Sequence[Any]]:
    """The function of a program of a device's matrices."""
    from .homes import gather, states_of
    from .run import Run
    from .schedule import schedule
    from .settings import suited

    gather(matrix.runtime, states_of(program).values())
    device = matrix.runtime.device
    return Run(program, schedule(program, device, suited(program, device)), matrix)
