"""The commands about the aliases' past: `contender history`, `rollback` and `unpin`, for any task, pushed ones too."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape

from contender.cli import ledger_table
from contender.cli.replay import ReplayName
from contender.console.command import told
from core.config.settings import Settings
from core.db.engine import connect
from core.errors import RegistryUnreachableError
from core.jobs.clock import Clock
from training.ledger.entries import CHAMPION

_LARGEST_VERSION = 2**31 - 1


def _reason(why: str) -> str:
    if not why.strip():
        raise typer.BadParameter("the ledger wants a reason")
    return why


TaskName = Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the ledger.", callback=_reason)]
Who = Annotated[str, typer.Option("--who", help="Your name, for the ledger; else the login name.")]


@dataclass(frozen=True)
class _At:
    """What these commands work with.

    `name` is what the task is called in the ledger and in MLflow: its own name, or that of a replay; `typed` is what a
    person types for it after a command.
    """

    name: str
    typed: str
    console: Console
    settings: Settings
    clock: Clock
    engine: sa.Engine


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(history)
    app.command()(rollback)
    app.command()(unpin)


def history(
    task: TaskName,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="The newest so many moves.")] = 20,
    replay: ReplayName = "",
) -> None:
    """Show every move of a task's aliases, the newest last: who moved what, when and why."""
    from training.ledger import history as chronicle

    with _at(task, replay) as at:
        told = chronicle.read(at.engine, at.name, limit)
        newer: tuple[chronicle.LedgerLine, ...] = ()
        silence = ""
        try:
            newer = chronicle.unrecorded(at.engine, at.settings, at.name)
        except RegistryUnreachableError as error:
            silence = f"{error.problem} Moves made there since the last run of a job are not shown."
        if told.earlier:
            at.console.print(f"… {told.earlier:,} earlier: contender history {escape(at.typed)} --limit {limit * 10}")
        if told.lines or newer:
            at.console.print(ledger_table.table([*told.lines, *newer], at.console.width))
            at.console.print()
        standing = chronicle.standing(at.engine, at.name, newer)
        is_lost = standing.get(CHAMPION, (True, False))[0] is None and not replay
        for sentence in [*ledger_table.now(at.typed, standing, is_lost=is_lost), *([silence] if silence else [])]:
            at.console.print(escape(sentence), highlight=False)


def rollback(
    task: TaskName,
    why: Why,
    to: Annotated[
        int | None,
        typer.Option(
            "--to", min=1, max=_LARGEST_VERSION, help="A version; without it, the champion before the present one."
        ),
    ] = None,
    who: Who = "",
) -> None:
    """Take the champion back to an earlier version and pin it there: no job moves it until `contender unpin`."""
    from training.ledger.rollback import roll_back

    with _at(task, takes_replay=False) as at:
        made = roll_back(at.engine, at.settings, task, at.clock, to=to, who=who or getuser(), why=why)
        now = f"{made.version} {made.contender}"
        if made.moved:
            before = "none" if made.from_version is None else str(made.from_version)
            said = f"The champion of {task}: {before} → {now}. The API follows within seconds."
        elif made.changed:
            said = f"The champion of {task} stands on {now} already, and is to stay there."
        else:
            said = (
                f"Nothing to do: the champion of {task} stands on {now} already. To another: contender rollback {task} "
                f'--to VERSION --why "…"; `contender history {task}` names them.'
            )
        said += f' It is pinned: the gate leaves it alone until contender unpin {task} --why "…"'
        at.console.print(escape(said), highlight=False)


def unpin(task: TaskName, why: Why, who: Who = "", replay: ReplayName = "") -> None:
    """Let the gate move aliases again that were moved by hand. They stay where they stand until it does."""
    from training.ledger.unpin import unpin as release

    with _at(task, replay) as at:
        released = release(at.settings, at.name, at.clock, who=who or getuser(), why=why)
        at.console.print(f"Released: {', '.join(released)}." if released else "No alias was pinned.")


@contextmanager
def _at(task: str, replay: str = "", *, takes_replay: bool = True) -> Iterator[_At]:
    """Console, settings, clock and database for a command about a task that there is, or about a replay of it."""
    from contender.replay import store as replays
    from training.override_commands import require_task

    console = Console()
    with told(console) as (settings, clock):
        name, typed = task, task
        if not replay and takes_replay and any(one.name == task for one in replays.every(settings)):
            replay, task = task, ""  # as pages and lines of a replay name it
        if task:
            require_task(settings.tasks, task)
        if replay:
            found = replays.find(settings, replay, task)
            settings, name = found.settings(settings), found.name
            typed = f"{task} --replay {replay}" if task else name
        engine = connect(settings.require_database_url(), schema=settings.schema_name)
        try:
            yield _At(name, typed, console, settings, clock, engine)
        finally:
            engine.dispose()
