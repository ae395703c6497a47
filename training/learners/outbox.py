"""The outbox: checkpoints that are to become versions in MLflow, at most one of a contender and session.

A row is added in the transaction that writes the checkpoint, so whatever MLflow does, none is forgotten. Whoever
registers it (`python -m training.register`) settles it last of all; one that fails is tried again, each time after
twice the wait.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import reachable
from core.db.event_tables import checkpoints, registrations
from training.event_log.store import LearnerKey

FIRST_WAIT_SECONDS = 30.0
_MOST_DOUBLINGS = 20
_KEY = ("log", "contender", "contender_hash")
_COLUMNS = [registrations.c[name] for name in ("id", *_KEY, "last_seq", "session_date", "version", "attempts")]


@dataclass(frozen=True)
class PendingRegistration:
    """A row of the outbox: the checkpoint after the event `last_seq`. `version` is None until it is registered."""

    id: int
    key: LearnerKey
    last_seq: int
    session_date: date
    version: int | None
    attempts: int


def ask(connection: sa.Connection, key: LearnerKey, last_seq: int, session_date: date) -> bool:
    """Asks, in the caller's transaction, for a version made of a checkpoint; whether it was asked for.

    It is not when the session has its version, or when nothing was learned since the last one.
    """
    learned_by_then = (
        sa.select(sa.func.coalesce(sa.func.max(checkpoints.c.rows_learned), 0))
        .join(
            registrations,
            sa.and_(*(registrations.c[name] == checkpoints.c[name] for name in (*_KEY, "last_seq"))),
        )
        .where(*_of(checkpoints, key))
        .scalar_subquery()
    )
    learned_more = sa.select(
        *(checkpoints.c[name] for name in (*_KEY, "last_seq")), sa.literal(session_date, sa.Date)
    ).where(*_of(checkpoints, key), checkpoints.c.last_seq == last_seq, checkpoints.c.rows_learned > learned_by_then)
    asked = connection.execute(
        insert(registrations)
        .from_select([*_KEY, "last_seq", "session_date"], learned_more)
        .on_conflict_do_nothing(index_elements=[*_KEY, "session_date"])
    )
    return bool(asked.rowcount)


def waiting(engine: sa.Engine, log: str) -> list[PendingRegistration]:
    """What is still to be registered of a log, oldest first."""
    statement = _rows().where(registrations.c.log == log, registrations.c.done_at.is_(None))
    with reachable(), engine.connect() as connection:
        return [_asked(row) for row in connection.execute(statement.order_by(registrations.c.id))]


def is_due(engine: sa.Engine, logs: Collection[str]) -> bool:
    """Whether something of these logs waits that has not just failed: the wait doubles with every attempt."""
    doublings = sa.func.least(registrations.c.attempts, _MOST_DOUBLINGS)
    seconds = FIRST_WAIT_SECONDS * (sa.func.power(2.0, doublings) - 1)
    statement = sa.select(sa.literal(1)).where(
        registrations.c.log.in_(logs),
        registrations.c.done_at.is_(None),
        registrations.c.asked_at + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds) <= sa.func.now(),
    )
    with reachable(), engine.connect() as connection:
        return connection.execute(statement.limit(1)).one_or_none() is not None


def settle(connection: sa.Connection, asked: PendingRegistration, version: int, at: datetime) -> None:
    """Writes down, in the caller's transaction, which version it became."""
    _update(connection, asked, {"version": version, "trouble": "", "done_at": at})


def fail(connection: sa.Connection, asked: PendingRegistration, trouble: str) -> None:
    """Writes down why it could not be registered this time; it waits on."""
    _update(connection, asked, {"trouble": trouble})


def of_version(engine: sa.Engine, log: str, version: int) -> PendingRegistration | None:
    """What a version was made of; None for one that did not come from the outbox."""
    statement = _rows().where(registrations.c.log == log, registrations.c.version == version)
    with reachable(), engine.connect() as connection:
        row = connection.execute(statement.order_by(registrations.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _asked(row)


def newest_version(engine: sa.Engine, key: LearnerKey) -> int | None:
    """The newest version of a contender; None before its first."""
    statement = sa.select(sa.func.max(registrations.c.version)).where(*_of(registrations, key))
    with reachable(), engine.connect() as connection:
        number: int | None = connection.execute(statement).scalar_one()
    return number


def _update(connection: sa.Connection, asked: PendingRegistration, values: dict[str, object]) -> None:
    connection.execute(
        sa.update(registrations)
        .where(registrations.c.id == asked.id, registrations.c.done_at.is_(None))
        .values(attempts=registrations.c.attempts + 1, **values)
    )


def _rows() -> sa.Select[tuple[object, ...]]:
    return sa.select(*_COLUMNS)


def _asked(row: sa.Row[tuple[object, ...]]) -> PendingRegistration:
    values = dict(row._mapping)
    key = LearnerKey(**{name: values.pop(name) for name in _KEY})
    return PendingRegistration(key=key, **values)


def _of(table: sa.Table, key: LearnerKey) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(table.c[name] == getattr(key, name) for name in _KEY)
