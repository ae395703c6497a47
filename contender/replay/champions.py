"""The champions of a replay: every move of the alias, by the gate or by a person, with the session it belongs to."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime
from itertools import pairwise

import polars as pl
import sqlalchemy as sa

from contender.replay.setup import finished_sessions
from core.config.tasks import Task
from core.db.engine import fetch_all
from core.db.pipeline_tables import decisions as decisions_table
from core.db.pipeline_tables import ledger
from core.jobs.calendars import final_at
from training.ledger.decisions import Decision
from training.ledger.entries import CHAMPION, FORCED
from training.promotion.gate import REFRESH
from training.registry import versions
from training.registry.versions import Version
from training.reports import explanations

EXTERNAL = "external"
"""The outcome of a move that a person made in MLflow: no decision belongs to it."""
NONE = "none"


@dataclass(frozen=True)
class ChampionChange:
    """A session at which the champion, or only its version, changed, and why.

    Attributes:
        session: the date of the session.
        outcome: that of the decision, or `EXTERNAL`.
        reason: the decision's reason; empty for an external move.
        from_contender: the champion before; None when there was none.
        to_contender: the champion since; None when the alias was removed.
        version: that of `to_contender`; None with it.
        why: an explanation in sentences.
        by_hand: whether a person moved the alias, without evidence.

    """

    session: date
    outcome: str
    reason: str
    from_contender: str | None
    to_contender: str | None
    version: int | None
    why: str
    by_hand: bool = False

    @property
    def is_refresh(self) -> bool:
        """Whether only a newer version of the same contender took over, as scheduled."""
        return self.reason == REFRESH and self.from_contender == self.to_contender

    @property
    def contenders(self) -> str:
        """The champion before and since, such as `base-rate → forest`."""
        now = self.to_contender or NONE
        return now if self.from_contender in (None, now) else f"{self.from_contender} → {now}"


@dataclass(frozen=True)
class _Move:
    """A row of the ledger, with the decision that it belongs to; `released`: a sentence about a later unpin."""

    to_version: int | None
    who: str
    why: str
    at: datetime
    decision: Decision | None
    released: str = ""

    @property
    def is_by_hand(self) -> bool:
        if self.decision is None or self.decision.outcome != FORCED:
            return self.decision is None
        # The champion that a replay begins with is set by an option of the command: no person intervened.
        is_beginning: bool = self.decision.evidence["asked"]["why"] == explanations.REPLAY_BEGINS
        return not is_beginning


def contender_changes(changes: Sequence[ChampionChange]) -> list[ChampionChange]:
    """The changes by which another contender than the last one became champion."""
    held = [change for change in changes if change.to_contender is not None]
    return [after for before, after in pairwise(held) if before.to_contender != after.to_contender]


def read(engine: sa.Engine, task: Task, predicted: pl.DataFrame) -> tuple[ChampionChange, ...]:
    """The champion's moves, oldest first, without those that only set or released a pin.

    Args:
        engine: the database of the replay.
        task: under the replay's name.
        predicted: the champion's predictions, see `champion_predictions.read`.

    """
    moves = _moves(engine, task.name)
    made = versions.numbered(engine, task.name, {move.to_version for move in moves if move.to_version is not None})
    sessions = _sessions(task, moves, sorted(finished_sessions(engine, task)), predicted)
    changes: list[ChampionChange] = []
    for move, session in zip(moves, sessions, strict=True):
        before, holder = changes[-1].to_contender if changes else None, _contender(made, move.to_version)
        outcome, reason = (EXTERNAL, "") if move.decision is None else (move.decision.outcome, move.decision.reason)
        changes.append(
            ChampionChange(session, outcome, reason, before, holder, move.to_version, _why(move), move.is_by_hand)
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
        text = f"{explanations.why(move.decision)} By {move.who}: “{move.why}”."
    else:
        text = f"Not by the gate: {move.why}, which records no name. There is no evidence for it."
    return text + move.released


def _moves(engine: sa.Engine, task: str) -> list[_Move]:
    columns, decided = ledger.c, [decisions_table.c[field.name] for field in fields(Decision)]
    statement = (
        sa.select(columns.to_version, columns.who, columns.why, columns.at, decisions_table.c.id.is_not(None), *decided)
        .select_from(ledger.outerjoin(decisions_table, decisions_table.c.id == columns.decision_id))
        .where(columns.task == task, columns.alias == CHAMPION, columns.phase.in_(("confirmed", "external")))
        .order_by(columns.id)
    )
    moves: list[_Move] = []
    for row in fetch_all(engine, statement):
        version, who, why, at, is_decided, *decision = tuple(row)
        # An entry that leaves the version as it is sets a pin or, without a decision, releases one.
        if version != (moves[-1].to_version if moves else None):
            moves.append(_Move(version, who, why, at, Decision(*decision) if is_decided else None))
        elif moves and not is_decided:
            moves[-1] = replace(moves[-1], released=f" Released since by {who}: “{why}”.")
    return moves


def _sessions(task: Task, moves: Sequence[_Move], finished: Sequence[date], predicted: pl.DataFrame) -> list[date]:
    """The session at which each move was made, or first seen.

    A job of the replay records the instant of its session. A person's command, such as `unpin`, records the machine's
    time, which is later than all of them: its move belongs to the first session predicted by the new version; where
    there is none, to the session of the next move, or to the last one.
    """
    finals = [final_at(task, session) for session in finished]
    known = [_session(move, finished, finals) for move in moves]
    answered = list(predicted.select("event_date", "version").iter_rows())
    sessions: list[date] = []
    for place, session in enumerate(known):
        if session is None:
            since = sessions[-1] if sessions else date.min
            until = next((later for later in known[place:] if later is not None), finished[-1])
            version = moves[place].to_version
            session = next((day for day, by in answered if since < day <= until and by == version), until)
        sessions.append(session)
    return sessions


def _session(move: _Move, finished: Sequence[date], finals: Sequence[datetime]) -> date | None:
    """The session whose job recorded a move; None where it was no job of the replay."""
    if move.decision is not None and move.decision.outcome != FORCED:
        return move.decision.session_date
    return None if move.at > finals[-1] else finished[bisect_left(finals, move.at)]
