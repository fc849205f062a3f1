"""How a check shows itself: live on a terminal, a line a tier elsewhere, nothing beside JSON; and its report."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pycrograd_core.conformance.report import Report, TierReport, Verdict
from pycrograd_core.conformance.result import FAILURES, UNASKED, Outcome, Result

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID
    from rich.table import Table

    from pycrograd_core.conformance.check import Check

MOST_SHOWN = 20  # failures that are shown in full
MARKS = {Verdict.PASSED: "green", Verdict.PARTIAL: "yellow", Verdict.FAILED: "red"}


def display(quiet: bool) -> Display:
    """The display that suits the output: progress goes to stderr."""
    if quiet:
        return Display()
    return LiveDisplay() if sys.stderr.isatty() else PlainDisplay()


class Display:
    """Shows no progress."""

    def begin(self, checks: Sequence[Check]) -> None:
        """These are about to be asked."""

    def tell(self, result: Result) -> None:
        """One has been asked."""

    def summarise(self, report: Report, certificate: Path | None) -> None:
        """Print the report."""
        from rich.console import Console

        console = Console(highlight=False, soft_wrap=True)
        console.print(_table(report.tiers))
        for result in report.failures[:MOST_SHOWN]:
            console.print(f"\n[red]✗ {result.check}[/] ({result.outcome})")
            console.print(_indented(result.message), markup=False)
        if len(report.failures) > MOST_SHOWN:
            console.print(f"\n… and {len(report.failures) - MOST_SHOWN} more: --json has all of them")
        for result in report.having(Outcome.EXPECTED_FAILURE):
            console.print(f"expected to fail: {result.check}: {result.reason}", markup=False)
        for key in report.stale:
            console.print(
                f"warning: {key!r} is stale: it is for no check, or for none that fails: see expected_failures.toml",
                markup=False,
            )
        console.print(f"\n[bold {MARKS[report.verdict]}]{report.verdict}[/]: ", end="")
        console.print(f"{report.sentence}, in {report.seconds:.0f} s", markup=False)
        if certificate is not None:
            console.print(f"certificate: {certificate}", markup=False)

    def __enter__(self) -> Display:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        """Leave the terminal as it was."""


class PlainDisplay(Display):
    """A line for each tier, when it is done."""

    def begin(self, checks: Sequence[Check]) -> None:
        """Count the checks of each tier."""
        self._left = Counter(check.tier for check in checks)
        self._failed: Counter[str] = Counter()

    def tell(self, result: Result) -> None:
        """Write a line if it was the tier's last."""
        self._left[result.tier] -= 1
        self._failed[result.tier] += result.outcome in FAILURES
        if not self._left[result.tier]:
            failed = self._failed[result.tier]
            sys.stderr.write(f"{result.tier}: {f'{failed} failed' if failed else 'done'}\n")


class LiveDisplay(Display):
    """A bar, the tier that is being asked, and failures as they come."""

    def begin(self, checks: Sequence[Check]) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress: Progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task: TaskID = self._progress.add_task("", total=len(checks))
        self._progress.start()

    def tell(self, result: Result) -> None:
        """Move the bar."""
        self._progress.update(self._task, advance=1, description=result.tier)
        if result.outcome in FAILURES:
            self._progress.console.print(f"[red]✗ {result.check}[/]", highlight=False)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()


def _table(tiers: Sequence[TierReport]) -> Table:
    """A row a tier: how many checks passed, and how near the worst error came to what is allowed."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("tier")
    for heading in ("passed", "worst error", "of allowed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in", overflow="fold")
    table.add_column("s", justify="right")
    for tier in tiers:
        worst, skipped = tier.worst, tier.count(UNASKED)
        passed = f"{tier.passed}/{tier.asked}" if tier.asked else "–"
        measured = [f"{worst.error:.1e}", f"{worst.strain:.0%}", worst.name] if worst is not None else ["–", "–", "–"]
        measured[-1] = f"not asked: {skipped}" if skipped else measured[-1]
        style = "red" if tier.failed else ""
        table.add_row(tier.name, passed, *measured, f"{tier.seconds:.1f}", style=style)
    return table


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
