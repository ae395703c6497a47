"""One series brought up to date from one source: asked if need be, checked, and stored, all or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import reachable
from core.errors import DataRefusedError, SourceUnreachableError
from core.jobs.calendars import last_final_date
from core.jobs.leases import Lease
from ingestion import quality
from ingestion.sources.base import Source
from ingestion.store import fetch_log, quarantine
from ingestion.store.observations import WriteResult, newest_values, record, stored_dates
from ingestion.store.quarantine import RejectedRow

LOOK_BACK_DAYS = 30
"""How much of what is stored is fetched again, so that restatements are seen."""


@dataclass(frozen=True)
class SyncResult:
    """What was added to a series, and how it stands now. `gaps` are dates that are due and not stored."""

    series: str
    source: str
    recorded: WriteResult
    quarantined: tuple[RejectedRow, ...]
    gaps: tuple[date, ...]
    first_date: date
    last_date: date


@dataclass(frozen=True)
class _Standing:
    """How a series stands before an update.

    `content` is what an unchanged source is known by (empty: it must be asked); `due` is the newest date that such a
    source should have by now.
    """

    stored: frozenset[date]
    content: str
    due: date | None
    missing: tuple[date, ...]

    @property
    def look_back_to(self) -> date:
        """The first of the stored dates that are fetched again."""
        return max(self.stored) - timedelta(days=LOOK_BACK_DAYS)


def bring_up_to_date(
    engine: sa.Engine, task: Task, source: Source, now: datetime, lease: Lease, fetched_at: datetime
) -> SyncResult:
    """Stores what the source has and we have not, as far as it is final at `now`, where the job stands.

    `fetched_at` is the machine's time: facts go by it (when was asked, when a changed past became known), and what a
    source is spared. What is due and what may be stored goes by `now`.
    Raises SourceUnreachableError when the source did not answer or may not be asked now, DataRefusedError when its
    answer has no use; either way what is stored stays as it is, and the question is on record.
    """
    series = source.series
    with _failures_on_record(engine, series, source.name, fetched_at):
        standing = _standing(engine, task, source, now)
    recorded, stored = WriteResult(0, 0, 0), set(standing.stored)
    set_aside: tuple[RejectedRow, ...] = ()
    if not _is_settled(engine, task, source, standing, now, fetched_at):
        with _failures_on_record(engine, series, source.name, fetched_at):
            rows = source.fetch(_since(task, standing))
            checked = quality.check(task, rows, now, stored)
            if stored and checked.accepted:
                known = newest_values(engine, series, checked.accepted[0].event_date)
                quality.require_same_scale(series, known, checked.accepted)
        with reachable(), engine.begin() as connection:
            lease.check(connection)
            recorded = record(connection, series, source.name, checked.accepted, fetched_at)
            set_aside = quarantine.keep(connection, series, source.name, checked.quarantined)
            detail = _kept(task, standing, checked.not_final, now, fetched_at)
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
        quarantined=set_aside,
        gaps=quality.gaps(task, stored, standing.due or max(stored)),
        first_date=min(stored),
        last_date=max(stored),
    )


def _standing(engine: sa.Engine, task: Task, source: Source, now: datetime) -> _Standing:
    stored = frozenset(stored_dates(engine, source.series))
    fingerprint = source.fingerprint()
    content = f"{fingerprint}, from {task.start}" if fingerprint else ""
    due = None if content else last_final_date(task, now)
    return _Standing(stored, content, due, quality.gaps(task, stored, due) if due else ())


def _kept(task: Task, standing: _Standing, not_final: int, now: datetime, fetched_at: datetime) -> str:
    """What the record says of an answer: its fingerprint, and that the part that comes after `now` was left out."""
    if standing.content:
        return standing.content + (f", {not_final} rows not final" if not_final else "")
    is_cut_off = not_final and last_final_date(task, now) != last_final_date(task, fetched_at)
    return fetch_log.cut_off(now) if is_cut_off else ""


def _is_settled(
    engine: sa.Engine, task: Task, source: Source, standing: _Standing, now: datetime, asked_at: datetime
) -> bool:
    """Whether there is nothing to ask for. Raises SourceUnreachableError when there is, but it may not be asked now."""
    history = fetch_log.asked(engine, source.series, source.name, fetch_log.day_of(asked_at))
    if standing.content:
        last = next((fetch for fetch in reversed(history) if fetch.outcome == "answered"), None)
        return bool(standing.stored) and last is not None and last.detail == standing.content
    if standing.stored:
        recent = tuple(day for day in standing.missing if day >= standing.look_back_to)
        if fetch_log.is_answered(task, history, now, recent, asked_at):
            return True
    if reason := fetch_log.reason_to_wait(history, asked_at):
        raise SourceUnreachableError(f"{source.name} is not asked now: {reason}.", "It is asked again by itself.")
    return False


def _since(task: Task, standing: _Standing) -> date | None:
    """From where to ask: some time before what is new and before every gap; None when nothing is stored."""
    if not standing.stored:
        return None
    before_gaps = min(standing.missing, default=date.max) - timedelta(days=LOOK_BACK_DAYS)
    return max(task.start, min(standing.look_back_to, before_gaps))


@contextmanager
def _failures_on_record(engine: sa.Engine, series: str, source: str, asked_at: datetime) -> Iterator[None]:
    """Records a question that was not answered, or whose answer was refused, and lets the error pass."""
    try:
        yield
    except SourceUnreachableError as error:
        with reachable(), engine.begin() as connection:
            fetch_log.note(connection, series, source, asked_at, "unreachable", fetch_log.failure(error))
        raise
    except DataRefusedError as error:
        with reachable(), engine.begin() as connection:
            fetch_log.note(connection, series, source, asked_at, "refused", error.problem)
        raise
