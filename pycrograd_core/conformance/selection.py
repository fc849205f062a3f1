"""Which checks are meant: by their tiers, and by patterns of their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pycrograd_core.errors import OptionError
from pycrograd_core.registry import nearest

from .check import Check
from .tiers import TIERS


def matches(pattern: str, text: str) -> bool:
    """Whether a text is as the pattern says, in which `*` stands for any characters and `?` for one."""
    parts = (".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


@dataclass(frozen=True)
class Selection:
    """Some tiers (none: all), and of their checks those whose name is as one of the patterns says (none: all)."""

    tiers: Sequence[str] = ()
    only: Sequence[str] = ()

    def of(self, checks: Sequence[Check]) -> list[Check]:
        """The checks that are meant. Raises OptionError for a tier that there is not, or a pattern of no check."""
        for tier in self.tiers:
            if tier not in {each.name for each in TIERS}:
                raise OptionError(f"there is no tier {tier!r}; {nearest(tier, [each.name for each in TIERS])}")
            if not any(check.tier == tier for check in checks):
                raise OptionError(f"the tier {tier!r} has no check for this backend")
        within = [check for check in checks if not self.tiers or check.tier in self.tiers]
        for pattern in self.only:
            if not any(matches(pattern, check.id) for check in within):
                among = f" of the tier {' or '.join(self.tiers)}" if self.tiers else ""
                hint = _near(pattern, [check.id for check in within])
                raise OptionError(f"no check{among} is called {pattern!r}; {hint}")
        return [check for check in within if not self.only or any(matches(each, check.id) for each in self.only)]


def _near(pattern: str, names: list[str]) -> str:
    """A hint to the nearest name. There are too many to list."""
    hint = nearest(pattern, names).partition("Known: ")[0].strip()
    return f"{hint} " * bool(hint) + "`*` and `?` stand for others, as in 'kernels/*'"
