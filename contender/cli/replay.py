"""The command `contender replay`."""

from datetime import date
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from contender.console.command import told
from core.config.settings import Settings
from core.config.task_files import display_path
from core.errors import ConfigurationError

_DAYS = 2500

ReplayName = Annotated[
    str, typer.Option("--replay", metavar="NAME", help="Look into a replay, such as spy-replay-20050103 or its id.")
]


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(replay)


def replay(
    task: Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")] = "",
    first: Annotated[str, typer.Option("--from", help="The date of the first night, such as 2005-01-03.")] = "",
    days: Annotated[int, typer.Option("--days", min=1, help="How many nights; of a monthly series, months.")] = _DAYS,
    replay_id: Annotated[str, typer.Option("--id", help="Names the replay; else the date of its first night.")] = "",
    champion: Annotated[str, typer.Option("--champion", help="A contender that holds the title to begin with.")] = "",
    remove: Annotated[
        str, typer.Option("--remove", metavar="NAME", help="Remove a replay instead, such as spy-replay-20050103.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Walk history night by night, in a registry and a schema of its own, and report what it has shown."""
    if remove:
        if first or replay_id or champion:
            raise typer.BadParameter("--remove goes with a name only: contender replay --remove spy-replay-20050103")
        with told(console := Console()) as (settings, _):
            _remove(settings, console, remove, task, is_sure=yes)
        return
    if not (task and first):
        raise typer.BadParameter("a task and a first night are needed: contender replay spy --from 2005-01-03")
    _walk(task, first, days, replay_id, champion)


def _walk(task: str, first: str, days: int, replay_id: str, champion: str) -> None:
    from contender.replay import run as nights  # with much that other commands need not wait for
    from training.models.task_check import in_force

    console = Console()
    with told(console) as (settings, _):
        begin = _date(first)
        nights.replay(
            settings, in_force(settings, task), begin, days, replay_id or f"{begin:%Y%m%d}", console, champion
        )


def _remove(settings: Settings, console: Console, name: str, task: str, *, is_sure: bool) -> None:
    """Says what there is of a replay, and removes it when one is sure."""
    from contender.replay import store as replays

    found = replays.find(settings, name, task)
    replays.require_removable(settings, found)
    kept = replays.held_in_mlflow(settings, found)
    experiment = ", and the experiment of that name with its runs and their files" if kept.has_experiment else ""
    console.print(
        f"This removes the replay {found.name} for good: {found.nights:,} nights in the PostgreSQL schema "
        f"{found.schema}; in MLflow the registered model {found.name} with {kept.versions:,} versions{experiment}. "
        "Nothing else is touched.",
        highlight=False,
    )
    if not (is_sure or typer.confirm("Remove it?")):
        console.print("Nothing was removed.")
        return
    replays.remove(settings, found)
    said = f"The replay {found.name} is removed."
    folder = settings.home / "replays" / found.name
    if folder.exists():
        said += f" Its report stays in {display_path(folder)}; delete the folder when you need it no more."
    console.print(escape(said), highlight=False, soft_wrap=True)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--from {text!r} is no date.", "Write it as 2005-01-03.") from None
