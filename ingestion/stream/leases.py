"""Observations that were handed out until a time: open, acknowledged, or overdue and to be handed out again.

An observation is acknowledged when its number was learned as an `id`: when the log named in the lease holds a target
under it. A row learned before the lease counts too, for the log would not take it a second time, and so does one that
was quarantined: it was taken notice of, and would be refused again. Time is Postgres's.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.db.event_tables import events, quarantined_events, stream_leases

_COLUMNS = stream_leases.c
_NOW = sa.func.clock_timestamp()
_EXPIRED = _COLUMNS.expires_at <= _NOW


def _holds_target(table: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a table has a target of the lease's log under the observation's number."""
    rows = table.c
    return (
        sa.select(rows.log)
        .where(
            rows.log == _COLUMNS.log,
            rows.event_id == sa.cast(_COLUMNS.observation_id, sa.Text),
            rows.target.is_not(None),
        )
        .exists()
    )


_ACKNOWLEDGED = sa.or_(_holds_target(events), _holds_target(quarantined_events))


def overdue(connection: sa.Connection, series: str) -> list[int]:
    """The numbers whose lease ran out unacknowledged, smallest first; what was acknowledged is cleared away."""
    expired = connection.execute(
        sa.select(_COLUMNS.observation_id, _ACKNOWLEDGED)
        .where(_COLUMNS.series == series, _EXPIRED)
        .order_by(_COLUMNS.observation_id)
    ).all()
    settle(connection, series, [number for number, acknowledged in expired if acknowledged])
    return [number for number, acknowledged in expired if not acknowledged]


def grant(connection: sa.Connection, series: str, number: int, log: str, seconds: int) -> None:
    """Leases an observation from now on, for the first time or again."""
    until = _NOW + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
    lease = insert(stream_leases).values(series=series, observation_id=number, log=log, expires_at=until)
    connection.execute(
        lease.on_conflict_do_update(
            index_elements=[_COLUMNS.series, _COLUMNS.observation_id],
            set_={"log": lease.excluded.log, "expires_at": lease.excluded.expires_at},
        )
    )


def settle(connection: sa.Connection, series: str, numbers: list[int]) -> None:
    """Ends leases: acknowledged, or handed out for good."""
    if numbers:
        connection.execute(
            sa.delete(stream_leases).where(_COLUMNS.series == series, _COLUMNS.observation_id.in_(numbers))
        )


def clear(connection: sa.Connection, series: str) -> None:
    """Ends all leases of a series."""
    connection.execute(sa.delete(stream_leases).where(_COLUMNS.series == series))


def seconds_to_next(connection: sa.Connection, series: str) -> int | None:
    """In how many seconds, rounded up, the next unacknowledged lease runs out; None when none is open."""
    wait = sa.func.ceil(sa.extract("epoch", sa.func.min(_COLUMNS.expires_at) - _NOW))
    seconds = connection.execute(sa.select(wait).where(_COLUMNS.series == series, ~_ACKNOWLEDGED)).scalar_one()
    return None if seconds is None else max(1, int(seconds))


def unacknowledged(series: str) -> tuple[sa.ScalarSelect[int], sa.ScalarSelect[int]]:
    """To be selected: how many unacknowledged leases of a series are still open, and how many are overdue."""
    counted = sa.select(sa.func.count()).where(_COLUMNS.series == series, ~_ACKNOWLEDGED)
    return counted.where(~_EXPIRED).scalar_subquery(), counted.where(_EXPIRED).scalar_subquery()
