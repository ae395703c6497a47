"""The job that brings a task's series up to date, or says loudly on what the task stands instead."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import sqlalchemy as sa

from core.clock import Clock
from core.connection import connect, reachable
from core.errors import SourceUnreachableError
from core.locks import Lease, hold
from core.settings import Settings
from core.tasks import Task
from ingestion.observations import ActiveSeries, activate, active, stored_dates
from ingestion.sources import open_source
from ingestion.update import Update, bring_up_to_date

LEASE_WAIT_SECONDS = 60.0
_SHOWN_GAPS = 3


@dataclass(frozen=True)
class IngestReport:
    """What an ingestion did. Counts are of rows that this run added; `gaps` are dates that are due and not stored.

    `series` and `source` are what the task stands on now. `fallback`: that is not its own, and `reason` says why;
    outcome `stale`: it is, but its source did not answer, and `reason` says how.
    """

    task: str
    series: str
    source: str
    outcome: Literal["stored", "nothing new", "stale"]
    new: int = 0
    restated: int = 0
    quarantined: int = 0
    gaps: tuple[date, ...] = ()
    first_date: date | None = None
    last_date: date | None = None
    fallback: bool = False
    reason: str = ""

    def sentence(self) -> str:
        """One line for a person: what was done, with its figures."""
        counts = ((self.new, "new"), (self.restated, "restated"), (self.quarantined, "quarantined"))
        counted = ", ".join(f"{count:,} {what}" for count, what in counts if count) or "nothing new"
        said = [f"{self.series} from {self.source}: {counted}; {self.first_date} to {self.last_date}."]
        if self.fallback:
            said = [*said, f"SAMPLE DATA, never mixed with the task's own: {self.reason}"]
        if self.outcome == "stale":
            said = [f"STALE: {self.reason} Stored data serve on.", *said]
        if self.gaps:
            shown = ", ".join(map(str, self.gaps[:_SHOWN_GAPS])) + (", …" if len(self.gaps) > _SHOWN_GAPS else "")
            said.append(f"{len(self.gaps)} missing ({shown}): asked for again by later runs.")
        return " ".join(said)


def run(settings: Settings, task: Task, clock: Clock) -> IngestReport:
    """Fetch what is new of a task's series, check it, and store what is good.

    When the source does not answer: with `fallback: none` SourceUnreachableError (try again later; what is stored
    serves on); with `fallback: sample` what is stored serves on, and where nothing is, the task stands on the bundled
    sample until its source answers. Raises DataRefusedError for an answer of no use, BusyError when another process
    keeps at this series.
    """
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    try:
        with hold(engine, f"ingest/{task.series}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
            now = clock.now()
            try:
                update = bring_up_to_date(engine, task, open_source(settings, task, task.source), now, lease)
            except SourceUnreachableError as error:
                return _without_source(settings, engine, task, error, now, lease)
            _stand_on(engine, task, update, f"{task.source} answered", now)
            return _report(task, update)
    finally:
        engine.dispose()


def _without_source(
    settings: Settings, engine: sa.Engine, task: Task, error: SourceUnreachableError, now: datetime, lease: Lease
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
    update = bring_up_to_date(engine, task, open_source(settings, task, task.fallback), now, lease)
    _stand_on(engine, task, update, error.problem, now)
    return _report(task, update, fallback_for=error.problem)


def _stand_on(engine: sa.Engine, task: Task, update: Update, reason: str, now: datetime) -> None:
    """Makes the series the task's active one, if it is not yet."""
    standing = ActiveSeries(update.series, update.source)
    if active(engine, task.name) != standing:
        with reachable(), engine.begin() as connection:
            activate(connection, task.name, standing, reason, now)


def _report(task: Task, update: Update, fallback_for: str = "") -> IngestReport:
    recorded = update.recorded
    return IngestReport(
        task=task.name,
        series=update.series,
        source=update.source,
        outcome="stored" if recorded.new or recorded.restated else "nothing new",
        new=recorded.new,
        restated=recorded.restated,
        quarantined=update.quarantined,
        gaps=update.gaps,
        first_date=update.first_date,
        last_date=update.last_date,
        fallback=bool(fallback_for),
        reason=fallback_for,
    )
