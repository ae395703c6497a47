"""A job that stands at another date (`--as-of`): it decides by that date, and records facts by the machine's clock."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.db.pipeline_tables import fetches
from core.errors import SourceUnreachableError
from core.jobs.calendars import final_at
from core.jobs.clock import FixedClock
from ingestion import job
from ingestion.job import IngestReport
from ingestion.store.observations import data_hash, read_as_of
from tests.support.ingestion.yahoo_stand_in import YahooStandIn, walk, yahoo_stand_in

START, THEN, TODAY = date(2024, 1, 2), date(2024, 3, 1), date(2024, 5, 3)
BARS = walk(START, TODAY)

Ingest = Callable[..., IngestReport]


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with yahoo_stand_in() as stand_in:
        stand_in.bars = BARS
        yield stand_in


@pytest.fixture
def settings(settings: Settings, yahoo: YahooStandIn, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The client keeps the place of its cache for the life of the process, so all tests share one home."""
    return settings.model_copy(
        update={"yahoo_url": yahoo.url, "home": tmp_path_factory.getbasetemp() / "ingestion-home"}
    )


@pytest.fixture
def spy(settings: Settings) -> Task:
    return load_task(settings.tasks, "spy").model_copy(update={"start": START, "fallback": "none"})


@pytest.fixture
def machine(spy: Task) -> datetime:
    """The real present of these tests: an hour after the last bar became final."""
    return final_at(spy, TODAY) + timedelta(hours=1)


@pytest.fixture
def ingest(settings: Settings, spy: Task, machine: datetime) -> Ingest:
    """Runs the job standing at the end of a day, `hours` after the present."""

    def ingest(as_of: date, hours: float = 0) -> IngestReport:
        now = FixedClock(machine + timedelta(hours=hours))
        return job.ingest(settings, spy, FixedClock(final_at(spy, as_of)), machine=now)

    return ingest


def asked_at(engine: sa.Engine) -> list[datetime]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(fetches.c.fetched_at).order_by(fetches.c.id)).scalars())


def test_the_time_of_fetching_is_the_machines_wherever_the_job_stands(
    ingest: Ingest, spy: Task, engine: sa.Engine, machine: datetime
) -> None:
    report = ingest(THEN)

    assert (report.last_date, report.gaps) == (THEN, ())
    assert asked_at(engine) == [machine]
    seen = read_as_of(engine, "SPY", machine)
    assert seen.get_column("known_at").max() == final_at(spy, THEN)


def test_a_job_that_stands_in_the_past_costs_the_source_no_second_question(ingest: Ingest, yahoo: YahooStandIn) -> None:
    ingest(TODAY)

    for hours, day in enumerate((date(2024, 2, 1), THEN, TODAY)):
        assert ingest(day, hours).outcome == "nothing new"

    assert len(yahoo.chart_requests) == 1


def test_after_a_job_that_stood_in_the_past_the_next_one_gets_what_that_left_out(
    ingest: Ingest, engine: sa.Engine, yahoo: YahooStandIn, machine: datetime
) -> None:
    ingest(THEN)
    assert ingest(THEN).outcome == "nothing new"

    report = ingest(TODAY, hours=0.1)

    assert (report.last_date, report.gaps, len(yahoo.chart_requests)) == (TODAY, (), 2)
    assert ingest(TODAY, hours=0.2).outcome == "nothing new"
    assert asked_at(engine) == [machine, machine + timedelta(hours=0.1)]


def test_failures_are_counted_by_the_machines_day_whatever_dates_the_jobs_stand_at(
    ingest: Ingest, yahoo: YahooStandIn
) -> None:
    yahoo.fault = "429"
    with pytest.raises(SourceUnreachableError, match="refuses more requests"):
        ingest(THEN)
    asked = len(yahoo.chart_requests)

    for day in (date(2024, 2, 1), THEN, TODAY):
        with pytest.raises(SourceUnreachableError, match="gets none until"):
            ingest(day, hours=0.5)

    assert len(yahoo.chart_requests) == asked


def test_a_restatement_seen_by_a_job_in_the_past_is_known_from_now_on_and_changes_no_earlier_read(
    ingest: Ingest, engine: sa.Engine, yahoo: YahooStandIn, machine: datetime
) -> None:
    ingest(THEN)
    ingest(TODAY, hours=1)
    instants = [datetime(2024, 3, 2, tzinfo=UTC), datetime(2024, 4, 2, tzinfo=UTC), machine + timedelta(hours=1)]
    before = [data_hash(read_as_of(engine, "SPY", instant)) for instant in instants]
    yahoo.bars = [*BARS[:-1], replace(BARS[-1], close=BARS[-1].close + 0.125)]  # type: ignore[operator]
    with engine.begin() as connection:
        connection.execute(sa.delete(fetches))  # nothing is known of the questions: it is asked again

    assert ingest(TODAY, hours=2).restated == 1

    assert [data_hash(read_as_of(engine, "SPY", instant)) for instant in instants] == before
    newest = read_as_of(engine, "SPY", machine + timedelta(hours=2))
    assert newest.get_column("known_at").max() == machine + timedelta(hours=2)
