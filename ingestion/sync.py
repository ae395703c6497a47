"""Synchronizes one series with one source: requests what is due, checks it, and stores all of it or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import transaction
from core.errors import DataRefusedError, SourceUnreachableError
from core.jobs.calendars import last_final_date
from core.jobs.leases import Lease
from ingestion import quality
from ingestion.sources.base import Source
from ingestion.store import fetch_log, quarantine
from ingestion.store.observations import WriteResult, newest_values, record, stored_dates
from ingestion.store.quarantine import RejectedRow

# How much of what is stored is fetched again, so that restatements are seen.
LOOK_BACK_DAYS = 30


@dataclass(frozen=True)
class SyncResult:
    """What was added to a series, and its extent now. `gaps`: dates that are due and not stored."""

    series: str
    source: str
    recorded: WriteResult
    quarantined: tuple[RejectedRow, ...]
    gaps: tuple[date, ...]
    first_date: date
    last_date: date


@dataclass(frozen=True)
class _SeriesState:
    """A series before an update.

    `content` identifies an unchanged source (empty: only a request can tell); `due` is the newest date that a source
    without it should have by now.
    """

    stored: frozenset[date]
    content: str
    due: date | None
    missing: tuple[date, ...]

    @property
    def look_back_to(self) -> date:
        """The first of the stored dates that are fetched again."""
        return max(self.stored) - timedelta(days=LOOK_BACK_DAYS)


def synchronize(
    engine: sa.Engine, task: Task, source: Source, now: datetime, lease: Lease, fetched_at: datetime
) -> SyncResult:
    """Store what the source has, the series lacks, and is final.

    Args:
        engine: the database.
        task: the task whose calendar and start apply.
        source: where the rows come from; it names the series.
        now: the job's time, which decides what is due and what is final.
        lease: checked before anything is written.
        fetched_at: the machine's time: when the source was requested and a changed past became known.

    Raises:
        SourceUnreachableError: the source did not answer, or may not be requested now.
        DataRefusedError: its answer cannot be used.

    On either error the stored series stays as it is, and the request is recorded.
    """
    series = source.series
    with _recording_failures(engine, series, source.name, fetched_at):
        state = _state_of(engine, task, source, now)
    recorded, stored = WriteResult(0, 0, 0), set(state.stored)
    rejected: tuple[RejectedRow, ...] = ()
    if not _is_settled(engine, task, source, state, now, fetched_at):
        with _recording_failures(engine, series, source.name, fetched_at):
            rows = source.fetch(_since(task, state))
            checked = quality.check(task, rows, now, stored)
            if stored and checked.accepted:
                known = newest_values(engine, series, checked.accepted[0].event_date)
                quality.require_same_scale(series, known, checked.accepted)
        # Checked and stored whole: a part of an answer would pass for all that the source had.
        with transaction(engine) as connection:
            lease.check(connection)
            recorded = record(connection, series, source.name, checked.accepted, fetched_at)
            rejected = quarantine.keep(connection, series, source.name, checked.quarantined)
            detail = _fetch_detail(task, state, checked.not_final, now, fetched_at)
            # With the rows: an answer on record whose rows were not stored would not be requested again that day.
            fetch_log.note(connection, series, source.name, fetched_at, "answered", detail, rows=len(rows))
        stored.update(observation.event_date for observation in checked.accepted)
    if not stored:
        raise DataRefusedError(
            f"{source.name} has no value of {series} that is final at {now:%Y-%m-%d %H:%M} UTC.",
            "Run this again when one is.",
        )
    return SyncResult(
        series=series,
        source=source.name,
        recorded=recorded,
        quarantined=rejected,
        gaps=quality.gaps(task, stored, state.due or max(stored)),
        first_date=min(stored),
        last_date=max(stored),
    )


def _state_of(engine: sa.Engine, task: Task, source: Source, now: datetime) -> _SeriesState:
    stored = frozenset(stored_dates(engine, source.series))
    fingerprint = source.fingerprint()
    content = f"{fingerprint}, from {task.start}" if fingerprint else ""
    due = None if content else last_final_date(task, now)
    return _SeriesState(stored, content, due, quality.gaps(task, stored, due) if due else ())


def _fetch_detail(task: Task, state: _SeriesState, not_final: int, now: datetime, fetched_at: datetime) -> str:
    """The `detail` of an answer in the fetch log: its fingerprint, and whether rows after `now` were left out."""
    if state.content:
        return state.content + (f", {not_final} rows not final" if not_final else "")
    is_cut_off = not_final and last_final_date(task, now) != last_final_date(task, fetched_at)
    return fetch_log.cut_off(now) if is_cut_off else ""


def _is_settled(
    engine: sa.Engine, task: Task, source: Source, state: _SeriesState, now: datetime, asked_at: datetime
) -> bool:
    """Whether no request is needed. Raises SourceUnreachableError when one is, but none may be made now."""
    history = fetch_log.requests_since(engine, source.series, source.name, fetch_log.day_of(asked_at))
    if state.content:
        last = next((fetch for fetch in reversed(history) if fetch.outcome == "answered"), None)
        return bool(state.stored) and last is not None and last.detail == state.content
    if state.stored:
        recent = tuple(day for day in state.missing if day >= state.look_back_to)
        if fetch_log.is_answered(task, history, now, recent, asked_at):
            return True
    if reason := fetch_log.reason_to_wait(history, asked_at):
        raise SourceUnreachableError(f"{source.name} is not requested now: {reason}.", "A later run requests it again.")
    return False


def _since(task: Task, state: _SeriesState) -> date | None:
    """The first date to request: some days before what is new and before every gap; None when nothing is stored."""
    if not state.stored:
        return None
    before_gaps = min(state.missing, default=date.max) - timedelta(days=LOOK_BACK_DAYS)
    return max(task.start, min(state.look_back_to, before_gaps))


@contextmanager
def _recording_failures(engine: sa.Engine, series: str, source: str, asked_at: datetime) -> Iterator[None]:
    """Record a request that failed or whose answer was refused, and let the error pass."""
    try:
        yield
    # In a transaction of its own: the request is on record although nothing is stored, and limits the next ones.
    except SourceUnreachableError as error:
        with transaction(engine) as connection:
            fetch_log.note(connection, series, source, asked_at, "unreachable", fetch_log.failure(error))
        raise
    except DataRefusedError as error:
        with transaction(engine) as connection:
            fetch_log.note(connection, series, source, asked_at, "refused", error.problem)
        raise
