"""The bitemporal store of observations: what a series was, and when that was known. Rows are only ever added."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.db.engine import fetch_all, fetch_one, fetch_scalar
from core.db.pipeline_tables import active_series, observations

# Two fetches of one price may differ by this much in their last digits without the past having changed.
_RELATIVE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Observation:
    """One value of a series: the date it is of, when it became known, and its raw fields (prices unadjusted)."""

    event_date: date
    known_at: datetime
    fields: dict[str, float]


@dataclass(frozen=True)
class WriteResult:
    """Counts of recorded rows: new to the series, restatements of a changed past, unchanged."""

    new: int
    restated: int
    unchanged: int


@dataclass(frozen=True)
class ActiveSeries:
    """The series that a task uses now, and its source."""

    series: str
    source: str


def record(
    connection: sa.Connection, series: str, source: str, received: Sequence[Observation], fetched_at: datetime
) -> WriteResult:
    """Adds what is new, and what differs from what was known as a restatement known at `fetched_at`.

    `fetched_at` is the machine's time, also for a job as of a date in the past: a changed past was not known
    there, and dating it back would change what was read as of any instant between then and now. A date that comes
    after later ones were stored (a gap mended) changes the past as well, and is known at `fetched_at` too, so that
    what was read as of an earlier instant reads the same for ever. A restatement fetched before the one it would
    replace is left out: it says nothing newer.

    `recorded_at` is the database's own clock when the row was written. It is for people; no read goes by it.
    The caller's transaction decides whether it stays. Recording the same rows twice adds nothing.
    """
    if not received:
        return WriteResult(0, 0, 0)
    # What is known is compared and written in one step: two writers would both add the same restatement.
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(series))))
    known = {row.event_date: row for row in connection.execute(_newest(series, None).where(_since(received)))}
    newest: date | None = connection.execute(_newest_date(series)).scalar_one()
    added: list[dict[str, object]] = []
    restated = 0
    for observation in received:
        known_at = observation.known_at
        before = known.get(observation.event_date)
        if before is not None:
            if _same(before.fields, observation.fields) or fetched_at <= before.known_at:
                continue
            restated += 1
            # The machine's time: dated back, it would change what was read as of the time in between.
            known_at = fetched_at
        elif newest is not None and observation.event_date < newest:
            # A gap that is mended changes the past as well: what was read as of an earlier instant must read the same.
            known_at = max(known_at, fetched_at)
        added.append(
            {
                "series": series,
                "event_date": observation.event_date,
                "known_at": known_at,
                "source": source,
                "fields": observation.fields,
            }
        )
    if added:
        connection.execute(sa.insert(observations), added)
    return WriteResult(new=len(added) - restated, restated=restated, unchanged=len(received) - len(added))


def read_as_of(engine: sa.Engine, series: str, as_of: datetime) -> pl.DataFrame:
    """What was known of a series at `as_of`: one row a date, sorted.

    Columns: `event_date` (Date), `known_at` (Datetime, UTC), then each raw field (Float64).
    Empty when nothing was known.
    """
    return _frame(engine, _newest(series, as_of))


def read_what_became_known(engine: sa.Engine, series: str, after: datetime, as_of: datetime) -> pl.DataFrame:
    """As `read_as_of`, but only observations that became known after an instant."""
    return _frame(engine, _newest(series, as_of).where(observations.c.known_at > after))


def _frame(engine: sa.Engine, statement: sa.Select[tuple[date, datetime, dict[str, float]]]) -> pl.DataFrame:
    rows = fetch_all(engine, statement)
    names = sorted({name for row in rows for name in row.fields})
    columns: dict[str, pl.Series] = {
        "event_date": pl.Series([row.event_date for row in rows], dtype=pl.Date),
        "known_at": pl.Series([row.known_at for row in rows], dtype=pl.Datetime("us", "UTC")),
    }
    columns |= {name: pl.Series([row.fields.get(name) for row in rows], dtype=pl.Float64) for name in names}
    return pl.DataFrame(columns)


def stored_dates(engine: sa.Engine, series: str) -> set[date]:
    """Every date of which a series has a value."""
    statement = sa.select(observations.c.event_date).where(observations.c.series == series)
    return {row.event_date for row in fetch_all(engine, statement)}


def newest_values(
    engine: sa.Engine, series: str, since: date, as_of: datetime | None = None, after: datetime | None = None
) -> dict[date, dict[str, float]]:
    """The fields of a series as known at `as_of` (None: now), by date, from `since` on.

    `after`: only of dates of which something became known after that instant.
    """
    statement = _newest(series, as_of).where(observations.c.event_date >= since)
    if after is not None:
        statement = statement.where(observations.c.known_at > after)
    return {row.event_date: row.fields for row in fetch_all(engine, statement)}


def watermark(engine: sa.Engine, series: str) -> date | None:
    """The newest date stored of a series, or None when nothing is."""
    newest: date | None = fetch_scalar(engine, _newest_date(series))
    return newest


def data_hash(frame: pl.DataFrame) -> str:
    """SHA-256 (16 hex digits) of a frame's dates and values: equal data, equal hash, on any machine."""
    state = hashlib.sha256(",".join(frame.columns).encode())
    for column in frame.columns:
        values = frame.get_column(column)
        plain = values.cast(pl.Float64) if values.dtype == pl.Float64 else values.to_physical().cast(pl.Int64)
        state.update(plain.is_null().to_numpy().tobytes())
        state.update(plain.fill_null(0).to_numpy().tobytes())
    return state.hexdigest()[:16]


def active(engine: sa.Engine, task: str) -> ActiveSeries | None:
    """The series that a task uses; None before its first ingestion."""
    statement = sa.select(active_series.c.series, active_series.c.source).where(active_series.c.task == task)
    row = fetch_one(engine, statement.order_by(active_series.c.id.desc()).limit(1))
    return None if row is None else ActiveSeries(row.series, row.source)


def activate(connection: sa.Connection, task: str, now: ActiveSeries, reason: str, since: datetime) -> None:
    """Record that a task uses another series from now on."""
    connection.execute(
        sa.insert(active_series).values(task=task, series=now.series, source=now.source, reason=reason, since=since)
    )


def _newest(series: str, as_of: datetime | None) -> sa.Select[tuple[date, datetime, dict[str, float]]]:
    columns = observations.c
    statement = (
        sa.select(columns.event_date, columns.known_at, columns.fields)
        .ext(distinct_on(columns.event_date))
        .where(columns.series == series)
        .order_by(columns.event_date, columns.known_at.desc(), columns.id.desc())
    )
    return statement if as_of is None else statement.where(columns.known_at <= as_of)


def _newest_date(series: str) -> sa.Select[Any]:
    return sa.select(sa.func.max(observations.c.event_date)).where(observations.c.series == series)


def _since(received: Sequence[Observation]) -> sa.ColumnElement[bool]:
    """Only dates from the first of these on can be among them."""
    return observations.c.event_date >= min(observation.event_date for observation in received)


def _same(before: dict[str, float], after: dict[str, float]) -> bool:
    return before.keys() == after.keys() and all(
        math.isclose(before[name], after[name], rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-9) for name in before
    )
