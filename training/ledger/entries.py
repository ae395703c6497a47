"""Every alias move ever, append-only: the intent before a move, the confirmation after it, and moves made by others.

MLflow keeps no history of its aliases and cannot be fenced. So a move is written down before it is made, and the next
job finds an intent without an end and finishes it (`training.ledger.reconciler`).
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.db import engine as db
from core.db.pipeline_tables import decisions, ledger

Phase = Literal["intent", "confirmed", "abandoned", "external"]
CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = (CHAMPION, CHALLENGER)
FORCED, PROMOTED, ROLLED_BACK = "FORCED", "promoted", "rolled_back"
"""The outcome of a decision that a person made and not the gate, and its two reasons."""
GUARD = "guard"
"""The gate's reason, and the ledger's `who`, for moving the champion back because it failed its probation."""


@dataclass(frozen=True)
class Move:
    """An alias goes from one version to another; None: no version."""

    id: str
    task: str
    alias: str
    from_version: int | None
    to_version: int | None
    who: str
    why: str
    decision_id: int | None = None
    evidence_hash: str = ""

    def with_decision(self, decision_id: int, evidence_hash: str) -> "Move":
        """This move with the decision that it follows from."""
        return replace(self, decision_id=decision_id, evidence_hash=evidence_hash)


@dataclass(frozen=True)
class LedgerEntry:
    """One row of the ledger."""

    id: int
    phase: Phase
    move: Move
    at: datetime


@dataclass(frozen=True)
class AliasState:
    """The version that an alias is on by the ledger (None: the alias is gone), and whether a person pinned it there."""

    version: int | None
    pinned: bool
    since: datetime


@dataclass(frozen=True)
class AliasTenure:
    """A version that held an alias; `was_rollback`: a person's rollback moved the alias to it.

    `by_guard`: the gate moved the alias back to it, because the version after it failed its probation.
    """

    version: int
    was_rollback: bool
    by_guard: bool = False


def new_move(task: str, alias: str, from_version: int | None, to_version: int | None, *, who: str, why: str) -> Move:
    """A move with an id of its own."""
    return Move(uuid.uuid4().hex, task, alias, from_version, to_version, who, why)


def write(connection: sa.Connection, phase: Phase, move: Move, at: datetime) -> None:
    """Adds one row, in the caller's transaction."""
    connection.execute(
        sa.insert(ledger).values(
            move=move.id,
            task=move.task,
            alias=move.alias,
            phase=phase,
            from_version=move.from_version,
            to_version=move.to_version,
            who=move.who,
            why=move.why,
            decision_id=move.decision_id,
            evidence_hash=move.evidence_hash,
            at=at,
        )
    )


def release(connection: sa.Connection, task: str, alias: str, *, who: str, why: str, at: datetime) -> bool:
    """Takes the pin off an alias that was moved by hand: it stays where it is, and the gate may move it again.

    False when it was not pinned.
    """
    state = _alias_states(connection, task).get(alias)
    if state is None or not state.pinned:
        return False
    # A confirmed move to where it is: the newest row, without a person's decision, ends the pin.
    move = new_move(task, alias, state.version, state.version, who=who, why=why)
    write(connection, "confirmed", move, at)
    return True


def alias_states(engine: sa.Engine, task: str) -> Mapping[str, AliasState]:
    """The state of each alias of a task after the last move that was confirmed or found."""
    with db.connection(engine) as connection:
        return _alias_states(connection, task)


def last_state(engine: sa.Engine, task: str, alias: str) -> AliasState | None:
    """The last state in which an alias was on a version, even if it is gone since; None when it never was on any."""
    with db.connection(engine) as connection:
        return _alias_states(connection, task, ledger.c.to_version.is_not(None)).get(alias)


def mover(engine: sa.Engine, task: str, alias: str, version: int) -> str | None:
    """The `who` of the last move of an alias to a version, confirmed or only intended; None without any."""
    columns = ledger.c
    statement = (
        sa.select(columns.who)
        .where(columns.task == task, columns.alias == alias, columns.to_version == version)
        # An intent counts: the alias may have moved, and its confirmation is still to come.
        .where(columns.phase != "abandoned")
        .order_by(columns.id.desc())
        .limit(1)
    )
    who: str | None = db.fetch_scalar(engine, statement)
    return who


def unfinished(engine: sa.Engine, task: str) -> list[Move]:
    """Moves that were intended and neither confirmed nor abandoned, in their order."""
    done = sa.select(ledger.c.move).where(ledger.c.task == task, ledger.c.phase != "intent")
    begun = sa.select(ledger).where(ledger.c.task == task, ledger.c.phase == "intent", ledger.c.move.not_in(done))
    return [_entry(row).move for row in db.fetch_all(engine, begun.order_by(ledger.c.id))]


def newest(engine: sa.Engine, task: str, limit: int) -> list[LedgerEntry]:
    """The newest rows of a task, newest first."""
    statement = sa.select(ledger).where(ledger.c.task == task).order_by(ledger.c.id.desc()).limit(limit)
    return [_entry(row) for row in db.fetch_all(engine, statement)]


def tenures(engine: sa.Engine, task: str, alias: str) -> list[AliasTenure]:
    """The versions that an alias was on, oldest first."""
    by_rollback = sa.and_(_is_forced(), decisions.c.reason == ROLLED_BACK)
    statement = (
        sa.select(ledger.c.to_version, sa.func.coalesce(by_rollback, sa.false()), ledger.c.who == GUARD)
        .select_from(ledger.outerjoin(decisions, decisions.c.id == ledger.c.decision_id))
        .where(ledger.c.task == task, ledger.c.alias == alias, ledger.c.phase.in_(("confirmed", "external")))
        .where(ledger.c.to_version.is_not(None))
        .order_by(ledger.c.id)
    )
    return [AliasTenure(*tuple(row)) for row in db.fetch_all(engine, statement)]


def last_not_by_decision(connection: sa.Connection, task: str) -> int:
    """The id of the last row that the gate did not decide on; 0 if none.

    Such are a person's move, a release, and a move that was abandoned.
    """
    forced = sa.select(decisions.c.id).where(decisions.c.task == task, _is_forced())
    by_others = sa.or_(
        ledger.c.phase.in_(("external", "abandoned")), ledger.c.decision_id.is_(None), ledger.c.decision_id.in_(forced)
    )
    statement = sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0)).where(ledger.c.task == task, by_others)
    row: int = connection.execute(statement).scalar_one()
    return row


def _alias_states(connection: sa.Connection, task: str, *more: sa.ColumnElement[bool]) -> dict[str, AliasState]:
    statement = (
        sa.select(ledger.c.alias, ledger.c.to_version, ledger.c.phase, ledger.c.at, _is_forced().label("is_forced"))
        .select_from(ledger.outerjoin(decisions, decisions.c.id == ledger.c.decision_id))
        .ext(distinct_on(ledger.c.alias))
        .where(ledger.c.task == task, ledger.c.phase.in_(("confirmed", "external")), *more)
        .order_by(ledger.c.alias, ledger.c.id.desc())
    )
    return {
        # A move by hand in MLflow pins as well: the gate must not undo what a person did.
        row.alias: AliasState(row.to_version, row.phase == "external" or bool(row.is_forced), row.at)
        for row in connection.execute(statement)
    }


def _is_forced() -> sa.ColumnElement[bool]:
    return decisions.c.outcome == FORCED


def _entry(row: sa.Row[tuple[object, ...]]) -> LedgerEntry:
    values = dict(row._mapping)
    entry = {name: values.pop(name) for name in ("id", "phase", "at")}
    return LedgerEntry(move=Move(id=values.pop("move"), **values), **entry)
