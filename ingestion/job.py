"""The ingestion job: brings a task's series up to date, or reports which data are used instead."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import open_engine, transaction
from core.errors import SourceUnreachableError
from core.jobs.clock import Clock, SystemClock
from core.jobs.leases import Lease, hold
from ingestion.sources.base import Source
from ingestion.sources.factory import open_source
from ingestion.store.observations import ActiveSeries, activate, active, stored_dates
from ingestion.store.quarantine import RejectedRow
from ingestion.sync import SyncResult, synchronize

LEASE_WAIT_SECONDS = 60.0
_SHOWN = 3


@dataclass(frozen=True)
class IngestReport:
    """What an ingestion did. Counts are of rows that this run added; `gaps` are dates that are due and not stored.

    `faults` are the rows that it put into quarantine, each with its reason.
    `series` and `source` are what the task uses now. `fallback`: they are not its own, and `reason` says why;
    outcome `stale`: it is, but its source did not answer, and `reason` says how.
    """

    task: str
    series: str
    source: str
    outcome: Literal["stored", "nothing new", "stale"]
    new: int = 0
    restated: int = 0
    faults: tuple[RejectedRow, ...] = ()
    gaps: tuple[date, ...] = ()
    first_date: date | None = None
    last_date: date | None = None
    fallback: bool = False
    reason: str = ""

    @property
    def quarantined(self) -> int:
        """How many rows were put into quarantine."""
        return len(self.faults)

    def sentence(self) -> str:
        """One line for a person: what was done, with its figures."""
        counts = ((self.new, "new"), (self.restated, "restated"), (self.quarantined, "quarantined"))
        counted = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing new"
        sentences = [f"{self.series} from {self.source}: {counted}; {self.first_date} to {self.last_date}."]
        if self.fallback:
            sentences = [*sentences, f"SAMPLE DATA, never mixed with the task's own: {self.reason}"]
        if self.outcome == "stale":
            sentences = [f"STALE: {self.reason} Stored data serve on.", *sentences]
        if self.faults:
            shown = _first("; ", [f"{fault.event_date or 'no date'}: {fault.reason}" for fault in self.faults])
            sentences.append(f"Quarantined ({shown}): kept out, and with their values in the table quarantine.")
        if self.gaps:
            shown = _first(", ", [str(day) for day in self.gaps])
            sentences.append(f"{len(self.gaps)} missing ({shown}): requested again by later runs.")
        return " ".join(sentences)


def run(settings: Settings, task: Task, clock: Clock) -> IngestReport:
    """Fetch what is new of a task's series, check it, and store what is good. See `ingest`."""
    return ingest(settings, task, clock, machine=SystemClock())


def ingest(settings: Settings, task: Task, clock: Clock, machine: Clock) -> IngestReport:
    """Bring a task's series up to date from its source, or from the fallback that its file names.

    When the source does not answer: with `fallback: none` an error, while stored data stay in use; with
    `fallback: sample` stored data stay in use, and a task without any uses the bundled sample until its source answers.

    Args:
        settings: the addresses.
        task: the task whose series is ingested.
        clock: decides what is due and final; an earlier date with `--as-of`.
        machine: tells when the source was really requested, which limits how often it is.

    Raises:
        SourceUnreachableError: the source did not answer, and there is no fallback.
        DataRefusedError: the answer cannot be used.
        BusyError: another process is ingesting this series.
    """
    with (
        open_engine(settings.require_database_url(), schema=settings.schema_name) as engine,
        # By the series and not by the task: two tasks may use the same one.
        hold(engine, f"ingest/{task.series}", wait_seconds=LEASE_WAIT_SECONDS) as lease,
    ):
        now, fetched_at = clock.now(), machine.now()
        try:
            source = open_source(settings, task, task.source)
            update = synchronize(engine, task, source, now, lease, fetched_at)
        except SourceUnreachableError as error:
            return _without_source(settings, engine, task, error, now, lease, fetched_at)
        _activate(engine, task, update, f"{task.source} answered", now)
        return _report(task, update)


def ingest_from(engine: sa.Engine, task: Task, source: Source, clock: Clock, lease: Lease) -> IngestReport:
    """Bring a task's series up to date from an open source, with a lease that the caller holds.

    For a replay: its clock is the machine's as well. Raises as `ingest` does for a source without a fallback.
    """
    now = clock.now()
    update = synchronize(engine, task, source, now, lease, now)
    _activate(engine, task, update, f"{source.name} answered", now)
    return _report(task, update)


def _without_source(
    settings: Settings,
    engine: sa.Engine,
    task: Task,
    error: SourceUnreachableError,
    now: datetime,
    lease: Lease,
    fetched_at: datetime,
) -> IngestReport:
    """What is left when the task's source did not answer: what is stored, or the sample, or the error."""
    stored = stored_dates(engine, task.series)
    if task.fallback == "none":
        serving = f" What is stored, through {max(stored)}, serves on." if stored else ""
        raise SourceUnreachableError(error.problem, error.remedy + serving) from error
    if stored:
        return IngestReport(
            task.name,
            task.series,
            task.source,
            "stale",
            first_date=min(stored),
            last_date=max(stored),
            reason=error.problem,
        )
    update = synchronize(engine, task, open_source(settings, task, task.fallback), now, lease, fetched_at)
    _activate(engine, task, update, error.problem, now)
    return _report(task, update, fallback_for=error.problem)


def _activate(engine: sa.Engine, task: Task, update: SyncResult, reason: str, now: datetime) -> None:
    """Makes the series the task's active one, if it is not yet."""
    updated = ActiveSeries(update.series, update.source)
    if active(engine, task.name) != updated:
        with transaction(engine) as connection:
            activate(connection, task.name, updated, reason, now)


def _report(task: Task, update: SyncResult, fallback_for: str = "") -> IngestReport:
    recorded = update.recorded
    return IngestReport(
        task=task.name,
        series=update.series,
        source=update.source,
        outcome="stored" if recorded.new or recorded.restated else "nothing new",
        new=recorded.new,
        restated=recorded.restated,
        faults=update.quarantined,
        gaps=update.gaps,
        first_date=update.first_date,
        last_date=update.last_date,
        fallback=bool(fallback_for),
        reason=fallback_for,
    )


def _first(separator: str, items: list[str]) -> str:
    """The first few items, and a mark where there are more."""
    return separator.join([*items[:_SHOWN], *(["…"] if len(items) > _SHOWN else [])])
