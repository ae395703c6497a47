"""Real observations, put into the store as known on their evenings, for the tests of features."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.jobs.clock import FixedClock
from features import job
from ingestion.store.observations import ActiveSeries, Observation, activate, record

NOW = datetime(2019, 1, 5, tzinfo=UTC)


def known_at(day: date) -> datetime:
    return datetime.combine(day, time(22), tzinfo=UTC)


def sp500(sessions: int) -> list[Observation]:
    """The last bars of the S&P 500 index up to the end of 2018."""
    from arch.data import sp500

    bars = []
    for bar in sp500.load().tail(sessions).itertuples():
        fields = {name.lower(): float(getattr(bar, name)) for name in ("Open", "High", "Low", "Close", "Volume")}
        day = bar.Index.date()
        bars.append(Observation(day, known_at(day), fields | {"dividend": 0.0, "split": 1.0}))
    return bars


def passengers() -> list[Observation]:
    """The 144 months of airline passengers."""
    from river.datasets import AirlinePassengers

    months = [(when["month"].date(), float(value)) for when, value in AirlinePassengers()]
    return [Observation(month, known_at(month) + timedelta(days=31), {"value": value}) for month, value in months]


def put(
    engine: sa.Engine,
    rows: Sequence[Observation],
    series: str = "GSPC",
    fetched_at: datetime = NOW,
    task: str = "spy",
) -> None:
    """Stores observations of a series, and makes it the one that the task stands on."""
    with engine.begin() as connection:
        record(connection, series, "sample", rows, fetched_at)
        activate(connection, task, ActiveSeries(series, "sample"), "test", fetched_at)


def run_at(settings: Settings, task: Task, now: datetime = NOW) -> job.FeaturesReport:
    """Runs the features job with the clock standing at `now`."""
    return job.run(settings, task, FixedClock(now))


def restated(observation: Observation, **changes: float) -> Observation:
    return replace(observation, fields=observation.fields | changes)
