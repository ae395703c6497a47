"""The ingestion job night after night: what is asked, what is stored, and what changes nothing stored before."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.db.pipeline_tables import active_series, quarantine
from core.errors import DataRefusedError
from core.jobs.calendars import final_at
from core.jobs.clock import FixedClock
from ingestion.store.observations import ActiveSeries, active, data_hash, read_as_of
from tests.support.ingestion.days import BARS, FRIDAY, START, expected, final, ingest, outcomes, run, stored
from tests.support.ingestion.yahoo_stand_in import Bar, YahooStandIn, yahoo_stand_in


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


def adjusted_returns(history: dict[date, dict[str, float]]) -> list[float]:
    values = [history[day] for day in sorted(history)]
    return [
        after["split"] * (after["close"] + after["dividend"]) / before["close"] - 1
        for before, after in pairwise(values)
    ]


def test_the_first_run_stores_all_of_history_raw_and_the_task_stands_on_it(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])

    assert stored(engine) == expected(BARS[: FRIDAY + 1])
    assert yahoo.since() == START
    assert active(engine, "spy") == ActiveSeries("SPY", "yahoo")
    assert (report.outcome, report.new, report.gaps, report.fallback) == ("stored", FRIDAY + 1, (), False)
    assert report.sentence() == f"SPY from yahoo: {FRIDAY + 1} new; 2023-11-01 to 2024-05-03."
    known_at = read_as_of(engine, "SPY", datetime(2030, 1, 1, tzinfo=UTC)).get_column("known_at").to_list()
    assert known_at == [final_at(spy, bar.day) for bar in BARS[: FRIDAY + 1]]


def test_a_second_run_on_the_same_day_asks_nothing(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])

    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 1], hours=40)

    assert (len(yahoo.chart_requests), outcomes(engine)) == (1, ["answered"])
    assert (report.outcome, report.new, report.last_date) == ("nothing new", 0, date(2024, 5, 3))
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(active_series)).scalar_one() == 1


def test_the_next_session_is_fetched_with_some_of_what_is_stored(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])

    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 2])

    assert (report.new, report.restated) == (1, 0)
    assert yahoo.since() == date(2024, 5, 3) - timedelta(days=30)
    assert stored(engine) == expected(BARS[: FRIDAY + 2])


def test_a_bar_that_is_not_final_waits(settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine) -> None:
    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 1], hours=-1)

    assert (report.last_date, report.quarantined, report.gaps) == (date(2024, 5, 2), 0, ())


def test_one_run_after_a_week_does_what_seven_nightly_runs_do(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    nightly = spy.model_copy(update={"series": "NIGHTLY"})
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    ingest(settings, nightly, yahoo, BARS[: FRIDAY + 1])

    for days in range(2, 9):
        ingest(settings, nightly, yahoo, BARS[: FRIDAY + days])
    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 8])

    later = datetime(2030, 1, 1, tzinfo=UTC)
    assert report.new == 7
    assert data_hash(read_as_of(engine, "SPY", later)) == data_hash(read_as_of(engine, "NIGHTLY", later))


def test_after_a_dividend_and_a_split_old_reads_hash_the_same_and_returns_are_as_before(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    bars = list(BARS[: FRIDAY + 8])
    paid, divided = FRIDAY + 2, FRIDAY + 4
    for index in range(divided, len(bars)):
        bar = bars[index]
        bars[index] = Bar(
            bar.day, bar.open / 2, bar.high / 2, bar.low / 2, bar.close / 2, bar.volume * 2,
            split=2.0 if index == divided else 1.0,
        )  # fmt: skip
    bars[paid] = replace(bars[paid], dividend=1.5)
    hashes: dict[datetime, str] = {}

    for length in range(FRIDAY + 1, len(bars) + 1):
        report = ingest(settings, spy, yahoo, bars[:length])
        assert report.restated == 0
        instant = final(bars[length - 1].day, spy).instant
        hashes[instant] = data_hash(read_as_of(engine, "SPY", instant))

    assert {instant: data_hash(read_as_of(engine, "SPY", instant)) for instant in hashes} == hashes
    unsplit = {bar.day: bar.fields for bar in BARS[: FRIDAY + 8]}
    unsplit[bars[paid].day]["dividend"] = 1.5
    assert adjusted_returns(stored(engine)) == pytest.approx(adjusted_returns(unsplit), abs=1e-9)
    assert stored(engine) == expected(bars)


def test_a_split_that_yahoo_lists_but_has_not_applied_changes_nothing_stored(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    before = stored(engine)
    yahoo.unapplied_splits = True
    half = BARS[FRIDAY + 1]
    shown = Bar(half.day, half.open / 2, half.high / 2, half.low / 2, half.close / 2, half.volume, split=2.0)

    with pytest.raises(DataRefusedError, match="2:1 split is listed"):
        ingest(settings, spy, yahoo, [*BARS[: FRIDAY + 1], shown])
    assert (stored(engine), outcomes(engine)) == (before, ["answered", "refused"])

    yahoo.unapplied_splits = False
    assert ingest(settings, spy, yahoo, [*BARS[: FRIDAY + 1], shown], hours=2).new == 1
    assert stored(engine) == before | {shown.day: shown.fields}


def test_a_split_that_yahoo_has_applied_but_does_not_list_changes_nothing_stored(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    before = stored(engine)
    yahoo.unlisted_splits = True

    with pytest.raises(DataRefusedError, match=r"came back 0\.5 times as high"):
        ingest(settings, spy, yahoo, [*BARS[: FRIDAY + 1], replace(BARS[FRIDAY + 1], split=2.0)])

    assert (stored(engine), outcomes(engine)) == (before, ["answered", "refused"])


def test_a_restated_close_is_a_new_row_and_old_reads_stay(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    then = final(BARS[FRIDAY].day, spy).instant
    before = stored(engine, then)
    bars = list(BARS[: FRIDAY + 2])
    bars[FRIDAY - 3] = replace(bars[FRIDAY - 3], close=bars[FRIDAY - 3].close + 0.125)

    report = ingest(settings, spy, yahoo, bars)

    assert (report.new, report.restated) == (1, 1)
    assert (stored(engine, then), stored(engine)) == (before, expected(bars))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda bars: [*bars[:-1], Bar(bars[-1].day, None, None, None, None, None)], id="nulls"),
        pytest.param(lambda bars: [*bars[:-1], replace(bars[-1], close=None)], id="null-close"),
        pytest.param(lambda bars: [*bars[:-1], replace(bars[-1], low=-1.0)], id="negative-price"),
        pytest.param(lambda bars: bars[:-1], id="missing"),
    ],
)
def test_a_bad_or_missing_last_bar_leaves_a_gap_that_the_next_run_mends(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine, fault: object
) -> None:
    bars = BARS[: FRIDAY + 1]
    clock = final(bars[-1].day, spy)
    yahoo.bars = fault(bars)  # type: ignore[operator]

    report = run(settings, spy, clock)
    assert (report.gaps, report.last_date) == ((date(2024, 5, 3),), date(2024, 5, 2))
    assert "1 missing (2024-05-03)" in report.sentence()

    yahoo.bars = bars
    assert run(settings, spy, FixedClock(clock.instant + timedelta(hours=2))).gaps == (date(2024, 5, 3),)
    assert run(settings, spy, FixedClock(clock.instant + timedelta(hours=7))).gaps == ()
    assert len(yahoo.chart_requests) == 2
    assert stored(engine) == expected(bars)


def test_an_old_gap_is_asked_for_however_far_back_it_lies(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, [*BARS[:20], *BARS[21 : FRIDAY + 1]])
    then = final(BARS[FRIDAY].day, spy).instant
    before = stored(engine, then)

    report = ingest(settings, spy, yahoo, BARS[: FRIDAY + 2])

    assert (report.new, report.gaps) == (2, ())
    assert yahoo.since() == max(START, BARS[20].day - timedelta(days=30))
    assert (stored(engine, then), stored(engine)) == (before, expected(BARS[: FRIDAY + 2]))


def test_a_fault_that_is_sent_every_day_is_written_down_once(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    for days in (1, 2, 3):
        bars = list(BARS[: FRIDAY + days])
        bars[FRIDAY - 1] = replace(bars[FRIDAY - 1], close=None)
        ingest(settings, spy, yahoo, bars)

    with engine.connect() as connection:
        kept = connection.execute(sa.select(quarantine.c.event_date, quarantine.c.reason, quarantine.c.fields)).all()
    assert [(row.event_date, row.reason) for row in kept] == [(BARS[FRIDAY - 1].day, "close: not a finite number")]
    assert kept[0].fields["close"] == "nan"


def test_a_good_bar_survives_a_bad_one_that_comes_later(
    settings: Settings, spy: Task, yahoo: YahooStandIn, engine: sa.Engine
) -> None:
    ingest(settings, spy, yahoo, BARS[: FRIDAY + 1])
    bars = list(BARS[: FRIDAY + 2])
    bars[FRIDAY] = replace(bars[FRIDAY], close=None)

    ingest(settings, spy, yahoo, bars)

    assert stored(engine) == expected(BARS[: FRIDAY + 2])
