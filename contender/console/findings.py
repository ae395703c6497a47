"""The findings of a check of a machine: ok, a warning, or a failure, each with its remedy."""

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
    """The result of one check: `what` was found, and the `remedy`."""

    level: Literal["ok", "warning", "fails"]
    what: str
    remedy: str = ""


def show(console: Console, findings: Sequence[Finding]) -> None:
    """Print a line for each finding, with the remedy below it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        text = escape(finding.what) + (f"\n  {escape(finding.remedy)}" if finding.remedy else "")
        grid.add_row(f"[{_COLOUR[finding.level]}]{finding.level}[/{_COLOUR[finding.level]}]", text)
    console.print(grid)


def require_none_fails(findings: Sequence[Finding], purpose: str) -> None:
    """Raise ConfigurationError when a check failed that the purpose, such as `vagrant up`, depends on."""
    failing = sum(finding.level == "fails" for finding in findings)
    if failing:
        raise ConfigurationError(
            f"{purpose} will not work here: {failing} of {len(findings)} checks {'fails' if failing == 1 else 'fail'}.",
            "The remedy is below each of them.",
        )
