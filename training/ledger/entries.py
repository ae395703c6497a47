"""Every alias move ever, append-only: the intent before a move, the confirmation after it, and moves made by others.

MLflow keeps no history of its aliases and cannot be fenced. So a move is written down before it is made; whoever
comes next finds an intent without an end and finishes it (`training.reconcile`).
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.db.engine import reachable
from core.db.pipeline_tables import decisions, ledger

Phase = Literal["intent", "confirmed", "abandoned", "external"]
CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = (CHAMPION, CHALLENGER)
FORCED, PROMOTED, ROLLED_BACK = "FORCED", "promoted", "rolled_back"
"""The outcome of a decision that a person made and not the gate, and its two reasons."""
GUARD = "guard"
"""Who moves the champion back when it fails its probation: the gate's reason for it, and the ledger's `who`."""


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

    def decided(self, decision_id: int, evidence_hash: str) -> "Move":
        """The same move, with the decision that asks for it."""
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
    """Where the ledger says an alias stands, and whether a person put it there (which pins it)."""

    version: int | None
    pinned: bool
    since: datetime


@dataclass(frozen=True)
class AliasTenure:
    """A version that held an alias, from a row of the ledger on; `was_rollback`: a rollback put it there.

    `by_guard`: the gate itself went back to it, because the one after it failed.
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
    standing = _standing(connection, task).get(alias)
    if standing is None or not standing.pinned:
        return False
    move = new_move(task, alias, standing.version, standing.version, who=who, why=why)
    write(connection, "confirmed", move, at)
    return True


def standing(engine: sa.Engine, task: str) -> Mapping[str, AliasState]:
    """Where each alias of a task stood after the last move that was confirmed or found."""
    with reachable(), engine.connect() as connection:
        return _standing(connection, task)


def last_held(engine: sa.Engine, task: str, alias: str) -> AliasState | None:
    """Where an alias stood last, be it gone since; None when it never stood anywhere."""
    with reachable(), engine.connect() as connection:
        return _standing(connection, task, ledger.c.to_version.is_not(None)).get(alias)


def mover(engine: sa.Engine, task: str, alias: str, version: int) -> str | None:
    """Who moved an alias to a version when it was moved there last, be it not confirmed yet; None for nobody."""
    columns = ledger.c
    statement = (
        sa.select(columns.who)
        .where(columns.task == task, columns.alias == alias, columns.to_version == version)
        .where(columns.phase != "abandoned")
        .order_by(columns.id.desc())
        .limit(1)
    )
    with reachable(), engine.connect() as connection:
        who: str | None = connection.execute(statement).scalar_one_or_none()
    return who


def unfinished(engine: sa.Engine, task: str) -> list[Move]:
    """Moves that were intended and neither confirmed nor abandoned, in their order."""
    done = sa.select(ledger.c.move).where(ledger.c.task == task, ledger.c.phase != "intent")
    statement = _rows(task).where(ledger.c.phase == "intent", ledger.c.move.not_in(done))
    with reachable(), engine.connect() as connection:
        return [_entry(row).move for row in connection.execute(statement)]


def history(engine: sa.Engine, task: str) -> list[LedgerEntry]:
    """Every row of a task, oldest first."""
    with reachable(), engine.connect() as connection:
        return [_entry(row) for row in connection.execute(_rows(task))]


def newest(engine: sa.Engine, task: str, limit: int) -> list[LedgerEntry]:
    """The newest rows of a task, newest first."""
    statement = sa.select(ledger).where(ledger.c.task == task).order_by(ledger.c.id.desc()).limit(limit)
    with reachable(), engine.connect() as connection:
        return [_entry(row) for row in connection.execute(statement)]


def reigns(engine: sa.Engine, task: str, alias: str) -> list[AliasTenure]:
    """The versions that an alias stood on, oldest first."""
    by_rollback = sa.and_(_is_forced(), decisions.c.reason == ROLLED_BACK)
    statement = (
        sa.select(ledger.c.to_version, sa.func.coalesce(by_rollback, sa.false()), ledger.c.who == GUARD)
        .select_from(ledger.outerjoin(decisions, decisions.c.id == ledger.c.decision_id))
        .where(ledger.c.task == task, ledger.c.alias == alias, ledger.c.phase.in_(("confirmed", "external")))
        .where(ledger.c.to_version.is_not(None))
        .order_by(ledger.c.id)
    )
    with reachable(), engine.connect() as connection:
        return [AliasTenure(*row) for row in connection.execute(statement)]


def last_not_by_decision(connection: sa.Connection, task: str) -> int:
    """The id of the last row that the gate did not decide on; 0 if none.

    Such are a person's move, a release, and a move given up.
    """
    forced = sa.select(decisions.c.id).where(decisions.c.task == task, _is_forced())
    by_others = sa.or_(
        ledger.c.phase.in_(("external", "abandoned")), ledger.c.decision_id.is_(None), ledger.c.decision_id.in_(forced)
    )
    statement = sa.select(sa.func.coalesce(sa.func.max(ledger.c.id), 0)).where(ledger.c.task == task, by_others)
    row: int = connection.execute(statement).scalar_one()
    return row


def _standing(connection: sa.Connection, task: str, *more: sa.ColumnElement[bool]) -> dict[str, AliasState]:
    statement = (
        sa.select(ledger.c.alias, ledger.c.to_version, ledger.c.phase, ledger.c.at, _is_forced().label("is_forced"))
        .select_from(ledger.outerjoin(decisions, decisions.c.id == ledger.c.decision_id))
        .ext(distinct_on(ledger.c.alias))
        .where(ledger.c.task == task, ledger.c.phase.in_(("confirmed", "external")), *more)
        .order_by(ledger.c.alias, ledger.c.id.desc())
    )
    return {
        row.alias: AliasState(row.to_version, row.phase == "external" or bool(row.is_forced), row.at)
        for row in connection.execute(statement)
    }


def _is_forced() -> sa.ColumnElement[bool]:
    return decisions.c.outcome == FORCED


def _rows(task: str) -> sa.Select[tuple[object, ...]]:
    return sa.select(ledger).where(ledger.c.task == task).order_by(ledger.c.id)


def _entry(row: sa.Row[tuple[object, ...]]) -> LedgerEntry:
    values = dict(row._mapping)
    entry = {name: values.pop(name) for name in ("id", "phase", "at")}
    return LedgerEntry(move=Move(id=values.pop("move"), **values), **entry)
