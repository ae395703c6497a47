"""The commands about the moves of the aliases: `contender history`, `rollback` and `unpin`, for tasks of any kind."""

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
from contender.console.command import command_context
from core.config.settings import Settings
from core.db.engine import open_engine
from core.errors import RegistryUnreachableError
from core.jobs.clock import Clock
from training.ledger import history as ledger_history
from training.ledger.entries import CHAMPION
from training.ledger.history import Holder, LedgerLine

_LARGEST_VERSION = 2**31 - 1  # of the column
_ENDINGS = {
    "made": "",
    "external": "external",
    "released": "unpinned",
    "abandoned": "given up",
    "unfinished": "not finished; the next job ends it",
    "unrecorded": "external",
}
_NONE = "none"
_WHEN, _ALIAS, _DECISION, _GAP = "when (UTC)", "alias", "decision", 2
_WHO_WIDTH, _WHY_WIDTH = 12, 28
"""The most columns of `who`, and the least of `why` before a move is broken into two lines."""


def _reason(why: str) -> str:
    if not why.strip():
        raise typer.BadParameter("the ledger needs a reason")
    return why


TaskName = Annotated[str, typer.Argument(help="Name of a file in the tasks folder, without .yaml.")]
Why = Annotated[str, typer.Option("--why", help="The reason, for the ledger.", callback=_reason)]
Who = Annotated[str, typer.Option("--who", help="Your name, for the ledger; else the login name.")]


@dataclass(frozen=True)
class _LedgerContext:
    """What these commands work with.

    `name` is what the task, or its replay, is called in the ledger and in MLflow; `argument` is how a command names it.
    """

    name: str
    argument: str
    console: Console
    settings: Settings
    clock: Clock
    engine: sa.Engine


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(history)
    app.command()(rollback)
    app.command()(unpin)


def history(
    task: TaskName,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="How many moves to show, of the newest.")
    ] = 20,
    replay: ReplayName = "",
) -> None:
    """Show every move of a task's aliases, the newest last: who moved what, when and why."""
    with _opened(task, replay) as at:
        past = ledger_history.read(at.engine, at.name, limit)
        newer: tuple[LedgerLine, ...] = ()
        unreachable = ""
        try:
            newer = ledger_history.unrecorded(at.engine, at.settings, at.name)
        except RegistryUnreachableError as error:
            unreachable = f"{error.problem} Moves made there since the last run of a job are not shown."
        if past.earlier:
            command = f"contender history {escape(at.argument)} --limit {limit * 10}"
            at.console.print(f"… {past.earlier:,} earlier: {command}")
        if past.lines or newer:
            at.console.print(table([*past.lines, *newer], at.console.width))
            at.console.print()
        current = ledger_history.holders(at.engine, at.name, newer)
        is_lost = current.get(CHAMPION, (True, False))[0] is None and not replay
        sentences = present(at.argument, current, is_lost=is_lost)
        for sentence in [*sentences, *([unreachable] if unreachable else [])]:
            at.console.print(escape(sentence), highlight=False)


def rollback(
    task: TaskName,
    why: Why,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, max=_LARGEST_VERSION, help="A version; without it, the previous champion."),
    ] = None,
    who: Who = "",
) -> None:
    """Move the champion back to an earlier version and pin it: no job moves it until `contender unpin`."""
    from training.ledger.rollback import roll_back

    with _opened(task, takes_replay=False) as at:
        made = roll_back(at.engine, at.settings, task, at.clock, to=to, who=who or getuser(), why=why)
        now = f"{made.version} {made.contender}"
        if made.moved:
            before = _NONE if made.from_version is None else str(made.from_version)
            text = f"The champion of {task}: {before} → {now}. The API follows within seconds."
        elif made.changed:
            text = f"The champion of {task} is {now} already; only the pin is new."
        else:
            text = (
                f"Nothing to do: the champion of {task} is {now} already. To another: contender rollback {task} "
                f'--to VERSION --why "…"; `contender history {task}` names them.'
            )
        text += f' It is pinned: the gate does not move it until contender unpin {task} --why "…"'
        at.console.print(escape(text), highlight=False)


def unpin(task: TaskName, why: Why, who: Who = "", replay: ReplayName = "") -> None:
    """Let the gate move aliases again that a person moved. They stay where they are until it does."""
    from training.ledger.manual import release_pins

    with _opened(task, replay) as at:
        released = release_pins(at.settings, at.name, at.clock, who=who or getuser(), why=why)
        at.console.print(f"Released: {', '.join(released)}." if released else "No alias was pinned.")


@contextmanager
def _opened(task: str, replay: str = "", *, takes_replay: bool = True) -> Iterator[_LedgerContext]:
    """The frame of a command about a task, or about a replay of it. Raises NotFoundError where there is none."""
    from contender.replay import store
    from training.override_commands import require_task

    console = Console()
    with command_context(console) as (settings, clock):
        name, argument = task, task
        # The pages and log lines of a replay name its commands with its own name in the place of the task's.
        if not replay and takes_replay and any(one.name == task for one in store.list_all(settings)):
            replay, task = task, ""
        if task:
            require_task(settings.tasks, task)
        if replay:
            found = store.find(settings, replay, task)
            settings, name = found.settings(settings), found.name
            argument = f"{task} --replay {replay}" if task else name
        with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
            yield _LedgerContext(name, argument, console, settings, clock, engine)


def table(lines: Sequence[LedgerLine], width: int) -> Table:
    """The moves in their order, one a row, with times in UTC.

    Where `width` columns are too few, a move takes two lines: the alias below the time, the new version below the old.
    """
    whens = [_when(line) for line in lines]
    who_width = min(_WHO_WIDTH, max(len(line.who) for line in lines))
    alias_width = max(len(line.alias) for line in lines)
    moves = [_move(line, " ") for line in lines]
    taken = max(map(len, whens)) + alias_width + max(map(len, moves)) + len(_DECISION) + who_width + 5 * _GAP
    # Measured here, for rich would fold every column where the line is too long.
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
        cells = (*begin, _move(line, "\n" if is_narrow else " "), number, line.who, reason(line))
        made.add_row(*map(escape, cells), style="yellow" if line.pins else None)
    return made


def reason(line: LedgerLine) -> str:
    """How a move ended, whether it pinned the alias, and why it was made.

    The reason of the gate's own moves contains their decision already.
    """
    ending = line.decision if line.pins and line.decision else _ENDINGS[line.ending]
    pinned = ", pinned" if line.pins else ""
    return f"{ending}{pinned}: {line.why}" if ending else line.why


def present(task: str, current: Mapping[str, tuple[Holder | None, bool]], *, is_lost: bool) -> list[str]:
    """Sentences on the present state of the aliases, and how to restore a champion that was lost.

    Args:
        task: as a command names it.
        current: by alias the version that has it, and whether it is pinned.
        is_lost: whether the alias `champion` was removed from MLflow.

    """
    if not current:
        return [f"No alias of {task} was ever moved: nothing was promoted yet."]
    held = [f"{alias} {_named(holder)}{', pinned' if pinned else ''}" for alias, (holder, pinned) in current.items()]
    sentences = [f"Now: {'; '.join(sorted(held))}."]
    if is_lost:
        sentences.append(
            "champion_lost: MLflow has no alias `champion`. The API serves its last good copy. To restore it: "
            f'contender rollback {task} --why "…"'
        )
    if any(pinned for _, pinned in current.values()):
        sentences.append(f'The gate does not move a pinned alias until: contender unpin {task} --why "…"')
    return sentences


def _when(line: LedgerLine) -> str:
    return "not recorded yet" if line.at is None else f"{line.at:%Y-%m-%d %H:%M}"


def _move(line: LedgerLine, gap: str) -> str:
    if line.before == line.after:  # a pin was set or released
        return _named(line.after)
    return f"{_named(line.before)} →{gap}{_named(line.after)}"


def _named(holder: Holder | None) -> str:
    if holder is None:
        return _NONE
    return f"{holder.version} {holder.contender or '(not ours)'}"
