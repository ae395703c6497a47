"""Where refused rows are kept with their reasons, for a person to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite

import sqlalchemy as sa

from core.db.pipeline_tables import quarantine


@dataclass(frozen=True)
class RejectedRow:
    """A row that may not be used, and why."""

    event_date: date | None
    reason: str
    fields: dict[str, float]


def keep(connection: sa.Connection, series: str, source: str, rows: Sequence[RejectedRow]) -> tuple[RejectedRow, ...]:
    """Stores the rows whose fault is not known yet and returns those.

    A fault is a date with a reason: a source that sends it every day is written down once. The caller holds the lock.
    """
    if not rows:
        return ()
    columns = quarantine.c
    known = {
        (row.event_date, row.reason)
        for row in connection.execute(
            sa.select(columns.event_date, columns.reason).where(columns.series == series, columns.source == source)
        )
    }
    fresh = {(row.event_date, row.reason): row for row in rows if (row.event_date, row.reason) not in known}
    if fresh:
        connection.execute(
            sa.insert(quarantine),
            [
                {
                    "series": series,
                    "source": source,
                    "event_date": row.event_date,
                    "reason": row.reason,
                    "fields": {
                        name: value if isfinite(value) else str(value) for name, value in row.fields.items()
                    },  # JSON has no NaN
                }
                for row in fresh.values()
            ],
        )
    return tuple(fresh.values())
