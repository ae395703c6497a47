"""The requests to each source, and whether another one may be made now: one answer a day is enough.

Requests are recorded by the machine's clock, also for a job that runs as of another date (`--as-of`): the limits are in
real hours. The job's own clock only decides which dates are due.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import fetch_all
from core.db.pipeline_tables import fetches
from core.errors import SourceUnreachableError
from core.jobs.calendars import final_at, last_final_date
from ingestion.sources.base import NoNetworkError, RateLimitedError

MEND_HOURS = 6
"""How long after an answer without a session that was due the source is requested again."""
PAUSE_HOURS = 1
"""How long no request is made after a rate limit of the source."""
FAILURES_A_DAY = 5
"""Failed requests after which none is made until the next day (UTC)."""

FetchStatus = Literal["answered", "unreachable", "refused"]
_NO_NETWORK, _RATE_LIMIT, _CUT_OFF = "no network: ", "rate limit: ", "kept as of "


@dataclass(frozen=True)
class Fetch:
    """One request: when (by the machine's clock), its outcome, and its details."""

    fetched_at: datetime
    outcome: FetchStatus
    detail: str

    @property
    def cut_off_at(self) -> datetime | None:
        """The as-of time of the job that left out later rows of the answer; None when none were left out."""
        if self.outcome != "answered" or not self.detail.startswith(_CUT_OFF):
            return None
        return datetime.fromisoformat(self.detail.removeprefix(_CUT_OFF))


def note(
    connection: sa.Connection,
    series: str,
    source: str,
    at: datetime,
    outcome: FetchStatus,
    detail: str = "",
    rows: int = 0,
) -> None:
    """Record a request in the caller's transaction.

    Args:
        connection: the transaction.
        series: the requested series.
        source: the source's name.
        at: when, by the machine's clock.
        outcome: whether it was answered.
        detail: the fingerprint of an answer, or what failed.
        rows: how many the answer had.
    """
    connection.execute(
        sa.insert(fetches).values(
            series=series, source=source, fetched_at=at, outcome=outcome, detail=detail[:500], rows=rows
        )
    )


def failure(error: SourceUnreachableError) -> str:
    """The `detail` of a failed request, with the kind of failure."""
    kinds = {NoNetworkError: _NO_NETWORK, RateLimitedError: _RATE_LIMIT}
    return next((prefix for kind, prefix in kinds.items() if isinstance(error, kind)), "") + error.problem


def cut_off(now: datetime) -> str:
    """The `detail` of an answer of which a job as of `now`, in the past, kept only the rows until then."""
    return _CUT_OFF + now.isoformat()


def requests_since(engine: sa.Engine, series: str, source: str, since: datetime) -> list[Fetch]:
    """The requests to a source from `since` on, oldest first, and the last answered one however old."""
    columns = fetches.c
    mine = (columns.series == series) & (columns.source == source)
    last_answer = (
        sa.select(sa.func.max(columns.id)).where(mine, columns.outcome == "answered").correlate(None).scalar_subquery()
    )
    statement = (
        sa.select(columns.fetched_at, columns.outcome, columns.detail)
        .where(mine, (columns.fetched_at >= since) | (columns.id == last_answer))
        .order_by(columns.id)
    )
    return [Fetch(row.fetched_at, row.outcome, row.detail) for row in fetch_all(engine, statement)]


def day_of(now: datetime) -> datetime:
    """The beginning of the day (UTC) by which requests are counted."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def is_answered(
    task: Task, history: list[Fetch], now: datetime, missing: tuple[date, ...], asked_at: datetime | None = None
) -> bool:
    """Whether no request is needed: the last answer is of today, or already had the last final session.

    Args:
        task: the task.
        history: the requests, as `requests_since` returns them.
        now: the job's time, by which sessions are due.
        missing: recent dates that are due and not stored. For them the source is requested again after some hours, or
            at once when the last answer had been cut off before them.
        asked_at: the machine's time, by which days and hours count; None: `now`.
    """
    asked_at = asked_at or now
    last = next((fetch for fetch in reversed(history) if fetch.outcome == "answered"), None)
    if last is None:
        return False
    since_then = asked_at - last.fetched_at
    if missing:
        if last.cut_off_at is not None and final_at(task, missing[-1]) > last.cut_off_at:
            return False
        return timedelta(0) <= since_then < timedelta(hours=MEND_HOURS)
    due = last_final_date(task, now)
    return last.fetched_at >= day_of(asked_at) or due is None or last.fetched_at >= final_at(task, due)


def reason_to_wait(history: list[Fetch], now: datetime) -> str:
    """Why no request may be made now (by the machine's clock), after failures; empty when one may.

    Requests that never left this machine do not count: they cost the source nothing.
    """
    today = [fetch for fetch in history if day_of(now) <= fetch.fetched_at <= now and fetch.outcome != "answered"]
    failed = [fetch for fetch in today if not fetch.detail.startswith(_NO_NETWORK)]
    limits = [fetch for fetch in failed if fetch.detail.startswith(_RATE_LIMIT)]
    if limits and now - limits[-1].fetched_at < timedelta(hours=PAUSE_HOURS):
        until = limits[-1].fetched_at + timedelta(hours=PAUSE_HOURS)
        return f"it refused more requests, and gets none until {until:%H:%M} UTC"
    if len(failed) >= FAILURES_A_DAY:
        return f"it failed {len(failed)} times today ({failed[-1].detail}), and gets no request until tomorrow (UTC)"
    return ""
