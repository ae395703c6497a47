"""The outbox: checkpoints that are to become versions in MLflow, at most one of a contender and session.

A row is added in the transaction that writes the checkpoint, so none is lost while MLflow is away. `python -m
training.register` registers the version, then settles the row; one that fails is tried again, each time after twice
the wait.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.engine import fetch_all, fetch_one, fetch_scalar
from core.db.event_tables import checkpoints, registrations
from training.event_log.store import LearnerKey
from training.learners.checkpoints import for_key

FIRST_WAIT_SECONDS = 30.0
_MOST_DOUBLINGS = 20  # of 30 seconds: the longest wait is a year
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


def request(connection: sa.Connection, key: LearnerKey, last_seq: int, session_date: date) -> bool:
    """Requests, in the caller's transaction, a version of a checkpoint; returns whether it did.

    It does not when the session has its version, or when nothing was learned since the last one.
    """
    learned_by_then = (
        sa.select(sa.func.coalesce(sa.func.max(checkpoints.c.rows_learned), 0))
        .join(
            registrations,
            sa.and_(*(registrations.c[name] == checkpoints.c[name] for name in (*_KEY, "last_seq"))),
        )
        .where(*for_key(checkpoints, key))
        .scalar_subquery()
    )
    learned_more = sa.select(
        *(checkpoints.c[name] for name in (*_KEY, "last_seq")), sa.literal(session_date, sa.Date)
    ).where(
        # A session in which nothing was learned would bring a version equal to the last.
        *for_key(checkpoints, key),
        checkpoints.c.last_seq == last_seq,
        checkpoints.c.rows_learned > learned_by_then,
    )
    added = connection.execute(
        insert(registrations)
        .from_select([*_KEY, "last_seq", "session_date"], learned_more)
        .on_conflict_do_nothing(index_elements=[*_KEY, "session_date"])
    )
    return bool(added.rowcount)


def waiting(engine: sa.Engine, log: str) -> list[PendingRegistration]:
    """What is still to be registered of a log, oldest first."""
    statement = _rows().where(registrations.c.log == log, registrations.c.done_at.is_(None))
    return [_pending(row) for row in fetch_all(engine, statement.order_by(registrations.c.id))]


def is_due(engine: sa.Engine, logs: Collection[str]) -> bool:
    """Whether something of these logs waits that has not just failed: the wait doubles with every attempt."""
    doublings = sa.func.least(registrations.c.attempts, _MOST_DOUBLINGS)
    seconds = FIRST_WAIT_SECONDS * (sa.func.power(2.0, doublings) - 1)
    statement = sa.select(sa.literal(1)).where(
        registrations.c.log.in_(logs),
        registrations.c.done_at.is_(None),
        registrations.c.asked_at + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds) <= sa.func.now(),
    )
    return fetch_one(engine, statement.limit(1)) is not None


def settle(connection: sa.Connection, pending: PendingRegistration, version: int, at: datetime) -> None:
    """Records, in the caller's transaction, which version the checkpoint became."""
    _update(connection, pending, {"version": version, "trouble": "", "done_at": at})


def fail(connection: sa.Connection, pending: PendingRegistration, trouble: str) -> None:
    """Records why it could not be registered this time; it stays in the outbox."""
    _update(connection, pending, {"trouble": trouble})


def of_version(engine: sa.Engine, log: str, version: int) -> PendingRegistration | None:
    """The checkpoint that a version was made of; None for a version that did not come from the outbox."""
    statement = _rows().where(registrations.c.log == log, registrations.c.version == version)
    row = fetch_one(engine, statement.order_by(registrations.c.id.desc()).limit(1))
    return None if row is None else _pending(row)


def newest_version(engine: sa.Engine, key: LearnerKey) -> int | None:
    """The newest version of a contender; None before its first."""
    statement = sa.select(sa.func.max(registrations.c.version)).where(*for_key(registrations, key))
    number: int | None = fetch_scalar(engine, statement)
    return number


def _update(connection: sa.Connection, pending: PendingRegistration, values: dict[str, object]) -> None:
    connection.execute(
        sa.update(registrations)
        # One that another process has settled meanwhile stays as it is.
        .where(registrations.c.id == pending.id, registrations.c.done_at.is_(None))
        .values(attempts=registrations.c.attempts + 1, **values)
    )


def _rows() -> sa.Select[tuple[object, ...]]:
    return sa.select(*_COLUMNS)


def _pending(row: sa.Row[tuple[object, ...]]) -> PendingRegistration:
    values = dict(row._mapping)
    key = LearnerKey(**{name: values.pop(name) for name in _KEY})
    return PendingRegistration(key=key, **values)
