"""What a check of a machine found: in order, doubtful or in the way, with what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from core.errors import ConfigurationError

_COLOUR = {"ok": "green", "warning": "yellow", "fails": "red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `what` says how it is, `remedy` what to do."""

    level: Literal["ok", "warning", "fails"]
    what: str
    remedy: str = ""


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Prints a line for each, the remedy below it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        told = escape(finding.what) + (f"\n  {escape(finding.remedy)}" if finding.remedy else "")
        grid.add_row(f"[{_COLOUR[finding.level]}]{finding.level}[/{_COLOUR[finding.level]}]", told)
    console.print(grid)


def require_none_fails(findings: Sequence[Finding], purpose: str) -> None:
    """Raises ConfigurationError when something is in the way of the purpose."""
    failing = sum(finding.level == "fails" for finding in findings)
    if failing:
        raise ConfigurationError(
            f"{purpose} will not work here: {failing} of {len(findings)} checks {'fails' if failing == 1 else 'fail'}.",
            "What to do stands below each.",
        )
