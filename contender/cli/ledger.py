"""The commands about the aliases' past: `contender history`, `rollback` and `unpin`, for any task, pushed ones too."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contender.cli.replay import ReplayName
from contender.console.command import told
from core.config.settings import Settings
from core.db.engine import connect
from core.errors import RegistryUnreachableError
from core.jobs.clock import Clock
from training.ledger.entries import CHAMPION
from training.ledger.history import Holder, LedgerLine

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
            at.console.print(table([*told.lines, *newer], at.console.width))
            at.console.print()
        standing = chronicle.standing(at.engine, at.name, newer)
        is_lost = standing.get(CHAMPION, (True, False))[0] is None and not replay
        for sentence in [*now(at.typed, standing, is_lost=is_lost), *([silence] if silence else [])]:
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


_ENDINGS = {
    "made": "",
    "external": "external",
    "released": "unpinned",
    "abandoned": "given up",
    "unfinished": "not finished; the next job ends it",
    "unrecorded": "external",
}
_NOBODY = "none"


_WHEN, _ALIAS, _DECISION, _GAP = "when (UTC)", "alias", "decision", 2
_WHO_WIDTH, _WHY_WIDTH = 12, 28
"""Who is folded at that width; why has at least that much before a move is broken into two lines."""


def table(lines: Sequence[LedgerLine], width: int) -> Table:
    """The moves in their order, one a row, for a terminal of `width` columns; times are UTC.

    Where that is too narrow a move takes two lines: the alias stands below the time, the new version below the old.
    """
    whens = [_when(line) for line in lines]
    who_width = min(_WHO_WIDTH, max(len(line.who) for line in lines))
    alias_width = max(len(line.alias) for line in lines)
    ways = [_way(line, " ") for line in lines]
    taken = max(map(len, whens)) + alias_width + max(map(len, ways)) + len(_DECISION) + who_width + 5 * _GAP
    is_narrow = taken + _WHY_WIDTH > width
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
    made.add_column(f"{_WHEN}\n{_ALIAS}" if is_narrow else _WHEN, no_wrap=True)
    if not is_narrow:
        made.add_column(_ALIAS, no_wrap=True)
    made.add_column("from → to", no_wrap=True)
    made.add_column(_DECISION, no_wrap=True, justify="right")
    made.add_column("who", max_width=_WHO_WIDTH, overflow="fold")
    made.add_column("why", overflow="fold")
    for when, line in zip(whens, lines, strict=True):
        number = "" if line.decision_id is None else str(line.decision_id)
        begin = [f"{when}\n{line.alias}"] if is_narrow else [when, line.alias]
        cells = (*begin, _way(line, "\n" if is_narrow else " "), number, line.who, reason(line))
        made.add_row(*map(escape, cells), style="yellow" if line.pins else None)
    return made


def reason(line: LedgerLine) -> str:
    """What came of a move, and why it was made.

    The gate's own moves say their decision in the reason; a person's does not. `pinned`: the gate leaves alone from
    there on what was moved.
    """
    told = line.decision if line.pins and line.decision else _ENDINGS[line.ending]
    pinned = ", pinned" if line.pins else ""
    return f"{told}{pinned}: {line.why}" if told else line.why


def now(task: str, standing: Mapping[str, tuple[Holder | None, bool]], *, is_lost: bool) -> list[str]:
    """What counts at present: who holds the aliases, what is pinned, and the way back where a champion is lost.

    `task` as one types it after a command.
    """
    if not standing:
        return [f"No alias of {task} was ever moved: nothing was promoted yet."]
    held = [f"{alias} {_named(holder)}{', pinned' if pinned else ''}" for alias, (holder, pinned) in standing.items()]
    told = [f"Now: {'; '.join(sorted(held))}."]
    if is_lost:
        told.append(
            "champion_lost: the alias `champion` stands nowhere in MLflow. The API serves its last good copy. The way "
            f'back: contender rollback {task} --why "…"'
        )
    if any(pinned for _, pinned in standing.values()):
        told.append(f'The gate leaves alone what is pinned until: contender unpin {task} --why "…"')
    return told


def _when(line: LedgerLine) -> str:
    return "not recorded yet" if line.at is None else f"{line.at:%Y-%m-%d %H:%M}"


def _way(line: LedgerLine, gap: str) -> str:
    if line.before == line.after:  # a pin was put on or taken off
        return _named(line.after)
    return f"{_named(line.before)} →{gap}{_named(line.after)}"


def _named(holder: Holder | None) -> str:
    if holder is None:
        return _NOBODY
    return f"{holder.version} {holder.contender or '(not ours)'}"
