"""The ingestion job when Yahoo does not answer, and on the series that need no Yahoo."""

from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.errors import DataRefusedError, SourceUnreachableError
from core.jobs.clock import FixedClock
from ingestion.store.observations import ActiveSeries, active, read_as_of, stored_dates
from tests.support.ingestion.days import BARS, FRIDAY, START, expected, final, ingest, outcomes, run, stored
from tests.support.ingestion.yahoo_stand_in import YahooStandIn, yahoo_stand_in


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with yahoo_stand_in() as stand_in:
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


@pytest.mark.parametrize("fault", ["429", "500", "garbage"])
def test_when_yahoo_fails_what_is_stored_stays_and_the_job_says_try_again(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine, fault: str
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    yahoo.fault = fault

    with pytest.raises(SourceUnreachableError, match="What is stored, through 2024-05-03, serves on"):
        ingest(settings, spy, yahoo, BARS[: FRIDAY + 2])

    assert (len(stored(engine)), outcomes(engine)) == (FRIDAY + 1, ["answered", "unreachable"])
    yahoo.fault = ""
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 2], hours=3)
    assert stored(engine) == expected(BARS[: FRIDAY + 2])


def test_after_a_429_yahoo_is_not_asked_for_an_hour(settings: Settings, spy: Task, yahoo: YahooStandIn) -> None:
    yahoo.fault = "429"
    for hours, asked in ((1, 2), (1.5, 2), (2.1, 4)):  # the client asks twice on a 429
        with pytest.raises(SourceUnreachableError):
            ingest(settings, spy, yahoo, BARS[: FRIDAY + 1], hours=hours)
        assert len(yahoo.chart_requests) == asked


def test_an_empty_answer_is_refused_and_changes_nothing(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    yahoo.fault = "empty"

    with pytest.raises(DataRefusedError, match="not taken to mean"):
        ingest(settings, spy, yahoo, BARS[: FRIDAY + 2])

    assert (len(stored(engine)), outcomes(engine)) == (FRIDAY + 1, ["answered", "refused"])


def test_without_yahoo_the_task_stands_on_the_sample_and_returns_to_spy_when_yahoo_answers(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    spy = spy.model_copy(update={"fallback": "sample", "start": date(1999, 1, 1)})
    clock = final(BARS[FRIDAY].day, spy)

    offline = run(settings.model_copy(update={"yahoo_url": "http://127.0.0.1:9"}), spy, clock)
    assert (offline.fallback, offline.series, offline.source, offline.new) == (True, "GSPC", "sample", 5031)
    assert (offline.first_date, offline.last_date, offline.gaps) == (date(1999, 1, 4), date(2018, 12, 31), ())
    assert "SAMPLE DATA" in offline.sentence()
    assert "Yahoo cannot be reached" in offline.sentence()
    assert active(engine, "spy") == ActiveSeries("GSPC", "sample")
    assert stored_dates(engine, "SPY") == set()

    again = run(settings.model_copy(update={"yahoo_url": "http://127.0.0.1:9"}), spy, clock)
    assert (again.outcome, again.new, again.fallback) == ("nothing new", 0, True)
    assert outcomes(engine) == ["unreachable", "answered", "unreachable"]  # the sample is not read again

    online = ingest(settings, spy, yahoo, BARS[: FRIDAY + 1], hours=2)
    assert (online.fallback, online.series) == (False, "SPY")
    assert active(engine, "spy") == ActiveSeries("SPY", "yahoo")
    assert len(stored_dates(engine, "GSPC")) == 5031


def test_with_stored_data_and_a_fallback_the_stored_data_serve_on_and_are_called_stale(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    spy = spy.model_copy(update={"fallback": "sample"})
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    yahoo.fault = "429"

    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 2])

    assert (report.outcome, report.series, report.fallback) == ("stale", "SPY", False)
    assert report.sentence().startswith("STALE: Yahoo refuses more requests for now (429).")
    assert active(engine, "spy") == ActiveSeries("SPY", "yahoo")
    assert stored_dates(engine, "GSPC") == set()


def test_nothing_stored_and_no_fallback_means_try_again_later(settings: Settings, spy: Task) -> None:
    offline = settings.model_copy(update={"yahoo_url": "http://127.0.0.1:9"})

    with pytest.raises(SourceUnreachableError, match="cannot be reached"):
        run(offline, spy, FixedClock(datetime(2024, 5, 4, tzinfo=UTC)))


def test_on_the_sample_a_job_may_stand_at_an_earlier_day_and_go_on_from_there(
    settings: Settings, engine: sa.Engine
) -> None:
    task = load_task(settings.tasks, "spy").model_copy(update={"source": "sample", "series": "GSPC"})

    early = run(settings, task, FixedClock(datetime(2010, 1, 2, tzinfo=UTC)))
    late = run(settings, task, FixedClock(datetime(2019, 1, 2, tzinfo=UTC)))
    again = run(settings, task, FixedClock(datetime(2019, 1, 3, tzinfo=UTC)))

    assert (early.last_date, late.last_date) == (date(2009, 12, 31), date(2018, 12, 31))
    assert (early.new + late.new, again.new) == (5031, 0)
    assert outcomes(engine) == ["answered", "answered"]
    assert read_as_of(engine, "GSPC", datetime(2010, 1, 2, tzinfo=UTC)).height == early.new


def test_airline_passengers_are_stored_by_month_and_known_at_its_end(settings: Settings, engine: sa.Engine) -> None:
    task = load_task(settings.tasks, "airline")
    clock = FixedClock(datetime(2024, 5, 4, tzinfo=UTC))

    report, again = run(settings, task, clock), run(settings, task, clock)

    frame = read_as_of(engine, "airline", clock.now())
    assert (report.new, report.gaps, again.new) == (144, (), 0)
    assert frame.row(0) == (date(1949, 1, 1), datetime(1949, 2, 1, tzinfo=UTC), 112.0)
    assert frame.row(-1) == (date(1960, 12, 1), datetime(1961, 1, 1, tzinfo=UTC), 432.0)


def test_a_time_before_the_data_begin_is_refused(settings: Settings) -> None:
    with pytest.raises(DataRefusedError, match="no value of airline that is final at 1949-01-15"):
        run(settings, load_task(settings.tasks, "airline"), FixedClock(datetime(1949, 1, 15, tzinfo=UTC)))
