"""Failures that a backend's author expects, each with a reason: `expected_failures.toml`, beside the backend's plugin.

    [expected_failures]
    "values/power float32" = "the driver's pow(-0, -1) is inf: vendor bug 123"
    "values/exp *@card 7*" = "flushes denormals on this device only"

A key is the name of a check, in which `*` and `?` stand for others; after an `@` comes a pattern of the device, if it
holds for that one only. None is for a whole tier: it would hide all that will be wrong there. What is expected to fail
and passes is stale, and told of.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pycrograd_core.errors import ConfigError

from .check import Check
from .result import Outcome, Result
from .selection import matches

if TYPE_CHECKING:
    from pycrograd_core.plugins.backends import Candidate

FILE = "expected_failures.toml"
TABLE = "expected_failures"


class StaleExpectation(UserWarning):
    """What was expected to fail passes, or there is no such check: take it out of the file."""


@dataclass(frozen=True)
class Expectation:
    """A pattern of checks, one of devices, and why they fail there."""

    key: str
    checks: str
    device: str
    reason: str


class Expectations:
    """Those that hold for a device."""

    def __init__(self, every: Iterable[Expectation] = (), device: str = "", source: str = "") -> None:
        self.every = [each for each in every if matches(each.device, device)]
        self.source = source

    def reason(self, check: str) -> str | None:
        """Why a check is expected to fail, if it is."""
        return next((each.reason for each in self.every if matches(each.checks, check)), None)

    def names(self, check: str) -> bool:
        """Whether a check is expected to fail by its name, not by a pattern that may be of others."""
        return any(each.checks == check for each in self.every)

    def judge(self, result: Result) -> Result:
        """A result, as an expected failure if it is one."""
        reason = self.reason(result.check)
        return result if reason is None else result.expected(reason)

    def stale(self, checks: Sequence[Check], results: Iterable[Result]) -> list[str]:
        """The keys that are of no check, or of checks that were all asked and none of which failed."""
        outcomes = {result.check: result.outcome for result in results}
        return [
            each.key
            for each in self.every
            if {outcomes.get(check.id) for check in checks if matches(each.checks, check.id)} <= {Outcome.PASSED}
        ]


def expectations(candidate: Candidate, device: str, checks: Sequence[Check] = ()) -> Expectations:
    """What is expected to fail of a backend on a device, by its own file, among all its checks.

    Raises ConfigError if the file is none, or has a pattern for all checks of a tier.
    """
    file = _beside(candidate.plugin.module)
    if file is None or not file.is_file():
        return Expectations()
    found = Expectations(_read(file), device, str(file))
    for each in found.every:
        _refuse_whole_tiers(each, checks, found.source)
    return found


def _refuse_whole_tiers(expectation: Expectation, checks: Sequence[Check], file: str) -> None:
    if not {"*", "?"} & set(expectation.checks):
        return
    missed = {check.tier for check in checks if not matches(expectation.checks, check.id)}
    for tier in dict.fromkeys(check.tier for check in checks):
        if tier not in missed:
            told = f"is for all checks of the tier {tier}: name those that fail, such as 'kernels/exp *'"
            raise ConfigError(f"{expectation.key!r} {told}", file)


def _beside(plugin: Any) -> Traversable | None:
    """The file in the folder of a plugin's module; None for a plugin without one."""
    name = plugin.__name__ if isinstance(plugin, ModuleType) else getattr(plugin, "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None:
        return None
    if module.__package__:
        return files(module.__package__) / FILE
    return Path(module.__file__).parent / FILE if module.__file__ else None


def _read(file: Traversable | Path) -> list[Expectation]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ConfigError(f"cannot be read: {failure.strerror or failure}", str(file)) from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"is no TOML: {failure}", str(file)) from failure
    table = content.pop(TABLE, None)
    if not isinstance(table, Mapping) or content:
        raise ConfigError(f"should be one table, [{TABLE}], of checks and reasons", str(file))
    return [_expectation(key, reason, str(file)) for key, reason in table.items()]


def _expectation(key: str, reason: Any, file: str) -> Expectation:
    if not isinstance(reason, str) or not reason.strip():
        found = "nothing" if reason == "" else repr(reason)
        raise ConfigError(f"{key!r}: the reason why the check fails is missing, a text; got {found}", file)
    checks, at, device = key.rpartition("@")
    return Expectation(key, checks, device, reason.strip()) if at else Expectation(key, key, "*", reason.strip())
