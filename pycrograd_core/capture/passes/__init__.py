"""Passes: each is a pure function from a Program to one that computes the same; itself, if it does not apply.

The same means the same bits, but where `absorb_transposes` and `lower` say otherwise.
What each kind of region promises to a backend is told by the pass that forms it.
"""

from __future__ import annotations

from collections.abc import Callable

from ..program import Program
from .absorb_transposes import absorb_transposes
from .common_subexpressions import common_subexpressions
from .dead_code import dead_code
from .fold_constants import fold_constants
from .fuse_cross_entropy import fuse_cross_entropy
from .fuse_elementwise import fuse_elementwise
from .fuse_products import fuse_products
from .fuse_updates import fuse_updates
from .lower import lower
from .row_local_regions import row_local_regions

__all__ = [
    "PASSES",
    "absorb_transposes",
    "common_subexpressions",
    "dead_code",
    "fold_constants",
    "fuse_cross_entropy",
    "fuse_elementwise",
    "fuse_products",
    "fuse_updates",
    "lower",
    "optimise",
    "row_local_regions",
]

PASSES: tuple[tuple[str, Callable[[Program], Program]], ...] = (
    ("lower", lower),  # what it writes is for the others to improve
    ("fold_constants", fold_constants),
    ("absorb_transposes", absorb_transposes),
    ("common_subexpressions", common_subexpressions),
    ("dead_code", dead_code),  # what the others left unread, before anything is counted as a use
    ("fuse_cross_entropy", fuse_cross_entropy),
    ("fuse_updates", fuse_updates),  # before fuse_products, which would take the gradients
    ("fuse_products", fuse_products),
    ("fuse_elementwise", fuse_elementwise),
    ("row_local_regions", row_local_regions),  # last: it holds the others
)


def optimise(program: Program) -> Program:
    """The program after all passes."""
    for _, improve in PASSES:
        program = improve(program)
    return program
