"""Which questions were asked of a source, and whether another may be asked now: one answer a day is enough.

When a question was asked is a fact, by the machine's clock, also for a job that stands at another date (`--as-of`):
what a source is spared is counted in real hours. The job's own clock only says which dates are due.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import reachable
from core.db.pipeline_tables import fetches
from core.errors import SourceUnreachableError
from core.jobs.calendars import final_at, last_final_date
from ingestion.sources.base import NoNetworkError, RateLimitedError

MEND_HOURS = 6
"""How long after an answer that lacked a session that was due it is asked for again."""
PAUSE_HOURS = 1
"""How long a source is left alone after it asked for that."""
FAILURES_A_DAY = 5
"""Failed questions after which a source is left alone until the next day (UTC)."""

FetchStatus = Literal["answered", "unreachable", "refused"]
_NO_NETWORK, _RATE_LIMIT, _CUT_OFF = "no network: ", "rate limit: ", "kept as of "


@dataclass(frozen=True)
class Fetch:
    """One question that was asked, when (by the machine's clock), and what came of it."""

    fetched_at: datetime
    outcome: FetchStatus
    detail: str

    @property
    def cut_off_at(self) -> datetime | None:
        """Where the job stood that left out what came later in the answer; None when nothing was left out so."""
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
    """Records a question, asked `at` the machine's time, in the caller's transaction.

    `detail` is the fingerprint of an answer, or what failed.
    """
    connection.execute(
        sa.insert(fetches).values(
            series=series, source=source, fetched_at=at, outcome=outcome, detail=detail[:500], rows=rows
        )
    )


def failure(error: SourceUnreachableError) -> str:
    """The `detail` of a failed question; it says which kind of failure it was."""
    kinds = {NoNetworkError: _NO_NETWORK, RateLimitedError: _RATE_LIMIT}
    return next((said for kind, said in kinds.items() if isinstance(error, kind)), "") + error.problem


def cut_off(now: datetime) -> str:
    """The `detail` of an answer of which a job that stands at `now`, in the past, kept only the part until then."""
    return _CUT_OFF + now.isoformat()


def asked(engine: sa.Engine, series: str, source: str, since: datetime) -> list[Fetch]:
    """The questions asked of a source from `since` on, oldest first; the last answer is among them however old."""
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
    with reachable(), engine.connect() as connection:
        return [Fetch(row.fetched_at, row.outcome, row.detail) for row in connection.execute(statement)]


def day_of(now: datetime) -> datetime:
    """The beginning of the day (UTC) by which questions are counted."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def is_answered(
    task: Task, history: list[Fetch], now: datetime, missing: tuple[date, ...], asked_at: datetime | None = None
) -> bool:
    """Whether there is nothing to ask for: the last answer is of today, or already held the last final session.

    `now` is the job's, by which sessions are due; `asked_at` the machine's (the same, unless told), by which the day
    and the hours count. `missing` are the recent dates that are due and not stored: for them it is asked again after
    some hours, or at once when the last answer was to a job that stood before them and left them out.
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
    """Why the source is not to be asked now (by the machine's clock), after failures; empty when it may be.

    Questions that never left this machine do not count: they cost the source nothing.
    """
    today = [fetch for fetch in history if day_of(now) <= fetch.fetched_at <= now and fetch.outcome != "answered"]
    failed = [fetch for fetch in today if not fetch.detail.startswith(_NO_NETWORK)]
    limits = [fetch for fetch in failed if fetch.detail.startswith(_RATE_LIMIT)]
    if limits and now - limits[-1].fetched_at < timedelta(hours=PAUSE_HOURS):
        until = limits[-1].fetched_at + timedelta(hours=PAUSE_HOURS)
        return f"it asked us to come back later, and is left alone until {until:%H:%M} UTC"
    if len(failed) >= FAILURES_A_DAY:
        return f"it failed {len(failed)} times today ({failed[-1].detail}), and is left alone until tomorrow (UTC)"
    return ""
