"""Who has held the title of a replay: every move of its champion, by the gate or by hand, and the night it was made."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import pairwise

import sqlalchemy as sa

from contender.replay.setup import nights_done
from core.config.tasks import Task
from core.db.engine import reachable
from core.db.pipeline_tables import decisions as decided_table
from core.db.pipeline_tables import ledger, predictions
from core.jobs.calendars import final_at
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION, FORCED
from training.promotion.gate import REFRESH
from training.registry import versions
from training.registry.versions import Version
from training.reports import explanations

EXTERNAL = "external"
"""The outcome of a move that somebody made in MLflow: nothing was decided here."""
NOBODY = "nobody"


@dataclass(frozen=True)
class ChampionChange:
    """A night on which the title, or the version that holds it, changed, and why.

    `from_contender`: None at first, and after nobody had it; `to_contender` and `version`: None when it was taken away.
    `by_hand`: a person did it, and no evidence is behind it.
    """

    night: date
    outcome: str
    reason: str
    from_contender: str | None
    to_contender: str | None
    version: int | None
    why: str
    by_hand: bool = False

    @property
    def is_refresh(self) -> bool:
        """Whether only a newer version of the one who has the title came in, as the schedule has it."""
        return self.reason == REFRESH and self.from_contender == self.to_contender

    @property
    def who(self) -> str:
        """Whose the title was, and whose it is."""
        now = self.to_contender or NOBODY
        return now if self.from_contender in (None, now) else f"{self.from_contender} → {now}"


@dataclass(frozen=True)
class _Move:
    """A row of the ledger, with the decision that asked for it; `released`: who took the pin off after it, and why."""

    to_version: int | None
    who: str
    why: str
    at: datetime
    decision: Decision | None
    released: str = ""

    @property
    def is_by_hand(self) -> bool:
        """A replay that begins with a named champion was told so by its options; that is nobody's intervention."""
        if self.decision is None or self.decision.outcome != FORCED:
            return self.decision is None
        is_beginning: bool = self.decision.evidence["asked"]["why"] == explanations.REPLAY_BEGINS
        return not is_beginning


def handed_on(changes: Sequence[ChampionChange]) -> list[ChampionChange]:
    """The changes by which another contender came to the title than had it last."""
    held = [change for change in changes if change.to_contender is not None]
    return [after for before, after in pairwise(held) if before.to_contender != after.to_contender]


def read(engine: sa.Engine, task: Task) -> tuple[ChampionChange, ...]:
    """The champion's moves, oldest first. A pin that was set or taken off where the alias stands is none."""
    moved = _moves(engine, task.name)
    made = versions.numbered(engine, task.name, {one.to_version for one in moved if one.to_version is not None})
    nights = _nights(task, moved, sorted(nights_done(engine, task)), _answered(engine, task.name))
    changes: list[ChampionChange] = []
    for one, night in zip(moved, nights, strict=True):
        before, holder = changes[-1].to_contender if changes else None, _contender(made, one.to_version)
        outcome, reason = (EXTERNAL, "") if one.decision is None else (one.decision.outcome, one.decision.reason)
        changes.append(
            ChampionChange(night, outcome, reason, before, holder, one.to_version, _why(one), one.is_by_hand)
        )
    return tuple(changes)


def _contender(made: Mapping[int, Version], version: int | None) -> str | None:
    if version is None:
        return None
    return made[version].contender if version in made else f"version {version}, which was not trained here"


def _why(move: _Move) -> str:
    if not move.is_by_hand:
        assert move.decision is not None, "the gate decided it, or the replay began so"  # noqa: S101
        return explanations.why(move.decision)
    if move.decision is not None:
        said = f"{explanations.why(move.decision)} By {move.who}: “{move.why}”."
    else:
        said = f"Not by the gate: {move.why}, which does not say by whom. No evidence is behind it."
    return said + move.released


def _moves(engine: sa.Engine, task: str) -> list[_Move]:
    moves, decided = ledger.c, [decided_table.c[one.name] for one in fields(Decision)]
    statement = (
        sa.select(moves.to_version, moves.who, moves.why, moves.at, decided_table.c.id.is_not(None), *decided)
        .select_from(ledger.outerjoin(decided_table, decided_table.c.id == moves.decision_id))
        .where(moves.task == task, moves.alias == CHAMPION, moves.phase.in_(("confirmed", "external")))
        .order_by(moves.id)
    )
    with reachable(), engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(statement)]
    moved: list[_Move] = []
    for version, who, why, at, is_decided, *decision in rows:
        if version != (moved[-1].to_version if moved else None):
            moved.append(_Move(version, who, why, at, Decision(*decision) if is_decided else None))
        elif moved and not is_decided:
            moved[-1] = replace(moved[-1], released=f" Released since by {who}: “{why}”.")
    return moved


def _answered(engine: sa.Engine, task: str) -> list[tuple[date, int]]:
    """Each night with the version that answered, in their order."""
    columns = predictions.c
    statement = sa.select(columns.event_date, columns.version).where(columns.task == task, columns.alias == CHAMPION)
    with reachable(), engine.connect() as connection:
        return [(row[0], row[1]) for row in connection.execute(statement.order_by(columns.event_date))]


def _nights(
    task: Task, moved: Sequence[_Move], done: Sequence[date], answered: Sequence[tuple[date, int]]
) -> list[date]:
    """The night on which each move was made, or was first seen.

    A job writes down the hour of the night that it walks. A command of a person (`unpin` records what it finds) writes
    that of the day on which it was asked, long after them all: its move is of the first night that was answered so,
    or of the next move, or the last night, where none was.
    """
    finals = [final_at(task, night) for night in done]
    known = [_night(one, done, finals) for one in moved]
    nights: list[date] = []
    for place, night in enumerate(known):
        if night is None:
            since = nights[-1] if nights else date.min
            until = next((later for later in known[place:] if later is not None), done[-1])
            version = moved[place].to_version
            night = next((day for day, by in answered if since < day <= until and by == version), until)
        nights.append(night)
    return nights


def _night(move: _Move, done: Sequence[date], finals: Sequence[datetime]) -> date | None:
    """The night whose job wrote a move down; None where it was no job of the replay."""
    if move.decision is not None and move.decision.outcome != FORCED:
        return move.decision.session_date
    return None if move.at > finals[-1] else done[bisect_left(finals, move.at)]
