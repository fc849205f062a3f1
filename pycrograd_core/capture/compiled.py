"""From a program as it was traced to a function that runs it."""

from __future__ import annotations

from dataclasses import replace

from .loop import repeated
from .passes import optimise
from .program import Program
from .replay import Run, replay


def compiled(program: Program) -> Run:
    """The program after the passes, compiled by its backend or, where that declines, replayed op by op."""
    optimised = optimise(program)
    run = program.matrix.compile(optimised)
    if run is not None:
        return run
    step = replace(optimised, stacked=frozenset())
    single = (program.matrix.compile(step) if program.stacked else None) or replay(step)
    return repeated(optimised, single) if program.stacked else single
