"""Backends that are wrong: `honest` with a part of one line changed, and the check that is first to find it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from conformance import host_faults, kernel_faults, process_faults, step_faults, value_faults
from pycrograd_core.conformance.result import Outcome

SOURCE = Path(__file__).with_name("honest.py")


@dataclass(frozen=True)
class Mutant:
    """What is wrong, the check that finds it, and what is in the line before and after.

    `outcome`: what comes of that check.
    """

    name: str
    check: str
    before: str
    after: str
    outcome: Outcome = Outcome.FAILED

    @property
    def tier(self) -> str:
        """The tier that is first to find it."""
        return self.check.partition("/")[0]

    def load(self) -> Any:
        """The matrix class."""
        return changed((self.before, self.after))


def changed(*changes: tuple[str, str]) -> Any:
    """The matrix class of `honest` with parts of its source replaced. Each is there once."""
    source = SOURCE.read_text("utf-8")
    for before, after in changes:
        assert source.count(before) == 1, f"{source.count(before)} times in {SOURCE.name}: {before}"
        source = source.replace(before, after)
    module = ModuleType("changed")
    exec(compile(source, SOURCE, "exec"), vars(module))
    return module.Honest


MUTANTS = [
    Mutant(*fault)
    for module in (host_faults, kernel_faults, value_faults, step_faults, process_faults)
    for fault in module.FAULTS
]
ENDING = [Mutant(*fault) for fault in process_faults.ENDING]


def load(name: str) -> Any:
    """The matrix class of a mutant: for another process, which is told its name."""
    return next(mutant for mutant in (*MUTANTS, *ENDING) if mutant.name == name).load()


def described(matrix: Any) -> dict[str, Any]:
    """What there is to say of where it runs, for a backend that is not installed."""
    return {}
