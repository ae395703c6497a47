"""`contender replay`: run a task's history through the pipeline, or remove such a replay."""

from datetime import date
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from contender.console.command import command_context
from core.config.settings import Settings
from core.config.task_files import display_path
from core.errors import ConfigurationError

_SESSIONS = 2500  # ten years of an exchange

ReplayName = Annotated[
    str, typer.Option("--replay", metavar="NAME", help="Of a replay: its name, such as spy-replay-20050103, or its id.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    task: Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")] = "",
    first: Annotated[str, typer.Option("--from", help="The date of the first session, such as 2005-01-03.")] = "",
    days: Annotated[
        int, typer.Option("--days", min=1, help="How many sessions to run; of a monthly series, months.")
    ] = _SESSIONS,
    replay_id: Annotated[
        str, typer.Option("--id", help="The replay's id; without it, the date of its first session.")
    ] = "",
    champion: Annotated[str, typer.Option("--champion", help="The contender that is champion to begin with.")] = "",
    remove: Annotated[
        str, typer.Option("--remove", metavar="NAME", help="Remove a replay instead, such as spy-replay-20050103.")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
) -> None:
    """Run history session by session, in a registry and a schema of its own, and report what it has shown."""
    if remove:
        if first or replay_id or champion:
            raise typer.BadParameter("--remove takes a name only: contender replay --remove spy-replay-20050103")
        with command_context(console := Console()) as (settings, _):
            _remove(settings, console, remove, task, is_sure=yes)
        return
    if not (task and first):
        raise typer.BadParameter("a task and a first session are needed: contender replay spy --from 2005-01-03")
    _run(task, first, days, replay_id, champion)


def _run(task: str, first: str, days: int, replay_id: str, champion: str) -> None:
    from contender.replay import run  # slow to import, which other commands need not wait for
    from training.models.task_check import in_force

    console = Console()
    with command_context(console) as (settings, _):
        begin = _date(first)
        name = replay_id or f"{begin:%Y%m%d}"
        run.replay(settings, in_force(settings, task), begin, days, name, console, champion)


def _remove(settings: Settings, console: Console, name: str, task: str, *, is_sure: bool) -> None:
    """Show what a replay consists of, and remove it once that is confirmed."""
    from contender.replay import store

    found = store.find(settings, name, task)
    store.require_removable(settings, found)
    content = store.mlflow_content(settings, found)
    experiment = ", and the experiment of that name with its runs and their files" if content.has_experiment else ""
    console.print(
        f"This removes the replay {found.name} for good: {found.sessions:,} sessions in the PostgreSQL schema "
        f"{found.schema}; in MLflow the registered model {found.name} with {content.versions:,} versions{experiment}. "
        "Nothing else is touched.",
        highlight=False,
    )
    if not (is_sure or typer.confirm("Remove it?")):
        console.print("Nothing was removed.")
        return
    store.remove(settings, found)
    text = f"The replay {found.name} is removed."
    folder = settings.home / "replays" / found.name
    if folder.exists():
        text += f" Its report stays in {display_path(folder)}; delete the folder when you need it no more."
    console.print(escape(text), highlight=False, soft_wrap=True)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--from {text!r} is no date.", "Write it as 2005-01-03.") from None
