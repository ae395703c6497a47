"""Days on which a job ingests what a stand-in for Yahoo has, and what it stored of it."""

from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.pipeline_tables import fetches
from core.jobs.calendars import final_at
from core.jobs.clock import Clock, FixedClock
from ingestion import job
from ingestion.job import IngestReport
from ingestion.store.observations import read_as_of
from tests.support.ingestion.yahoo_stand_in import Bar, YahooStandIn, walk

START = date(2023, 11, 1)
BARS = walk(START, date(2024, 5, 31))
FRIDAY = next(index for index, bar in enumerate(BARS) if bar.day == date(2024, 5, 3))
NAMES = ("open", "high", "low", "close", "volume", "dividend", "split")


def final(day: date, spy: Task, hours: float = 1) -> FixedClock:
    """A clock some hours after the bar of a day became final."""
    return FixedClock(final_at(spy, day) + timedelta(hours=hours))


def ingest(settings: Settings, spy: Task, yahoo: YahooStandIn, bars: list[Bar], hours: float = 1) -> IngestReport:
    """Yahoo has these bars, the last of which became final some hours ago."""
    yahoo.bars = bars
    return run(settings, spy, final(bars[-1].day, spy, hours))


def run(settings: Settings, task: Task, clock: Clock) -> IngestReport:
    """Runs the job on a machine whose clock is the job's: days pass in a moment."""
    return job.ingest(settings, task, clock, machine=clock)


def stored(engine: sa.Engine, as_of: datetime = datetime(2030, 1, 1, tzinfo=UTC)) -> dict[date, dict[str, float]]:
    frame = read_as_of(engine, "SPY", as_of)
    return {row["event_date"]: {name: row[name] for name in NAMES} for row in frame.iter_rows(named=True)}


def expected(bars: list[Bar]) -> dict[date, dict[str, float]]:
    return {bar.day: bar.fields for bar in bars}


def outcomes(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(fetches.c.outcome).order_by(fetches.c.id)).scalars())
