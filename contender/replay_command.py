"""The command `contender replay`."""

from datetime import date
from typing import Annotated

import typer
from rich.console import Console

from contender.command import told
from core.errors import ConfigurationError

_DAYS = 2500


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(replay)


def replay(
    task: Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")],
    first: Annotated[str, typer.Option("--from", help="The date of the first night, such as 2005-01-03.")],
    days: Annotated[int, typer.Option("--days", min=1, help="How many nights; of a monthly series, months.")] = _DAYS,
    replay_id: Annotated[str, typer.Option("--id", help="Names the replay; else the date of its first night.")] = "",
    champion: Annotated[str, typer.Option("--champion", help="A contender that holds the title to begin with.")] = "",
) -> None:
    """Walk history night by night, in a registry and a schema of its own, and report what it has shown."""
    from contender import replay as nights  # with much that other commands need not wait for
    from training.declarations import in_force

    console = Console()
    with told(console) as (settings, _):
        begin = _date(first)
        nights.replay(
            settings, in_force(settings, task), begin, days, replay_id or f"{begin:%Y%m%d}", console, champion
        )


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--from {text!r} is no date.", "Write it as 2005-01-03.") from None
