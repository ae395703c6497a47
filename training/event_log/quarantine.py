"""Rows that validation refused: kept with the reason, until a person looks at them and maybe releases them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from core.db.engine import fetch_all, fetch_one, transaction
from core.db.event_tables import quarantined_events
from core.errors import BusyError, NotFoundError
from features.arrays import FeatureRow
from training.event_log.events import NewEvent
from training.event_log.validation import Rejection


@dataclass(frozen=True)
class RejectedEvent:
    """A refused row as it is stored. `seq` is its number in the log, once released."""

    id: int
    log: str
    kind: str
    event_id: str | None
    series_id: str | None
    features: FeatureRow | None
    target: float | None
    reason: str
    detail: str
    received_at: datetime
    released_at: datetime | None
    released_by: str | None
    released_why: str | None
    seq: int | None

    @property
    def event(self) -> NewEvent:
        """The row as it would enter the log."""
        # JSON has no floats apart: 1.0 was stored as 1.
        features = None if self.features is None else {name: float(value) for name, value in self.features.items()}
        return NewEvent(self.kind, features, self.target, self.event_id, self.series_id)  # type: ignore[arg-type]


def add(engine: sa.Engine, log: str, refused: Sequence[tuple[NewEvent, Rejection]]) -> None:
    """Stores refused rows; one that was sent again under its id, and waits already, is stored once."""
    with transaction(engine) as connection:
        waiting = _waiting(connection, log, [event.event_id for event, _ in refused if event.event_id is not None])
        rows = [
            {
                "log": log,
                "kind": event.kind,
                "event_id": event.event_id,
                "series_id": event.series_id,
                "features": event.features,
                "target": event.target,
                "reason": rejection.reason,
                "detail": rejection.detail,
            }
            for event, rejection in refused
            if event not in waiting
        ]
        if rows:
            connection.execute(sa.insert(quarantined_events), rows)


def _waiting(connection: sa.Connection, log: str, ids: Sequence[str]) -> list[NewEvent]:
    """The rows under these ids that were not released."""
    if not ids:
        return []
    columns = quarantined_events.c
    statement = sa.select(quarantined_events).where(
        columns.log == log, columns.event_id.in_(ids), columns.released_at.is_(None)
    )
    return [RejectedEvent(**row).event for row in connection.execute(statement).mappings()]


def listed(engine: sa.Engine, log: str, *, waiting_only: bool = True, limit: int = 100) -> list[RejectedEvent]:
    """The newest refused rows of a log."""
    statement = sa.select(quarantined_events).where(quarantined_events.c.log == log)
    if waiting_only:
        statement = statement.where(quarantined_events.c.released_at.is_(None))
    rows = fetch_all(engine, statement.order_by(quarantined_events.c.id.desc()).limit(limit))
    return [RejectedEvent(**row._mapping) for row in rows]


def find(engine: sa.Engine, log: str, number: int) -> RejectedEvent:
    """One refused row.

    Raises:
        NotFoundError: there is none of this number.
        BusyError: it was released before.

    """
    statement = sa.select(quarantined_events).where(quarantined_events.c.log == log, quarantined_events.c.id == number)
    row = fetch_one(engine, statement)
    if row is None:
        raise NotFoundError(f"No row {number} is in the quarantine of {log}.", "The list names those that are.")
    if row.released_at is not None:
        raise BusyError(f"Row {number} was released before, as event {row.seq}.", "Nothing is left to do.")
    return RejectedEvent(**row._mapping)


def release(connection: sa.Connection, number: int, seq: int, *, by: str, why: str) -> None:
    """Records, in the caller's transaction, that a person released a refused row into the log."""
    statement = (
        sa.update(quarantined_events)
        .where(quarantined_events.c.id == number, quarantined_events.c.released_at.is_(None))
        .values(released_at=sa.func.now(), released_by=by, released_why=why, seq=seq)
    )
    connection.execute(statement)
