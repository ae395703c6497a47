from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.db.pipeline_tables import observations
from ingestion.store.observations import (
    ActiveSeries,
    Observation,
    WriteResult,
    activate,
    active,
    data_hash,
    newest_values,
    read_as_of,
    record,
    stored_dates,
    watermark,
)

DAY = date(2024, 5, 1)
CLOSE = datetime(2024, 5, 1, 23, tzinfo=UTC)


def value(days: int, number: float) -> Observation:
    return Observation(DAY + timedelta(days=days), CLOSE + timedelta(days=days), {"value": number})


def write(engine: sa.Engine, *received: Observation, days_later: int = 0, series: str = "X") -> WriteResult:
    with engine.begin() as connection:
        return record(connection, series, "test", received, CLOSE + timedelta(days=days_later, hours=1))


def values(engine: sa.Engine, days_later: int, series: str = "X") -> list[float]:
    frame = read_as_of(engine, series, CLOSE + timedelta(days=days_later, hours=2))
    return frame.get_column("value").to_list() if frame.height else []


def test_recording_the_same_rows_twice_adds_nothing(engine: sa.Engine) -> None:
    first = write(engine, value(0, 1.0), value(1, 2.0), days_later=1)
    second = write(engine, value(0, 1.0), value(1, 2.0), days_later=2)

    assert (first, second) == (WriteResult(2, 0, 0), WriteResult(0, 0, 2))
    assert values(engine, 1) == [1.0, 2.0]


def test_a_changed_past_is_a_new_row_known_from_the_time_of_fetching(engine: sa.Engine) -> None:
    write(engine, value(0, 1.0), value(1, 2.0), days_later=1)
    before = data_hash(read_as_of(engine, "X", CLOSE + timedelta(days=4)))

    assert write(engine, value(0, 1.5), days_later=5) == WriteResult(0, 1, 0)

    assert values(engine, 4) == [1.0, 2.0]
    assert values(engine, 5) == [1.5, 2.0]
    assert data_hash(read_as_of(engine, "X", CLOSE + timedelta(days=4))) == before
    assert newest_values(engine, "X", DAY) == {DAY: {"value": 1.5}, DAY + timedelta(days=1): {"value": 2.0}}


def test_a_difference_in_the_last_digits_is_no_restatement(engine: sa.Engine) -> None:
    write(engine, value(0, 500.0))

    assert write(engine, value(0, 500.0 * (1 + 5e-7)), days_later=1) == WriteResult(0, 0, 1)
    assert write(engine, value(0, 500.0 * (1 + 2e-6)), days_later=1) == WriteResult(0, 1, 0)


def test_a_gap_that_is_mended_leaves_what_was_read_before_as_it_was(engine: sa.Engine) -> None:
    write(engine, value(0, 1.0), value(2, 3.0), days_later=2)
    before = data_hash(read_as_of(engine, "X", CLOSE + timedelta(days=2, hours=2)))

    assert write(engine, value(1, 2.0), days_later=3) == WriteResult(1, 0, 0)

    assert values(engine, 3) == [1.0, 2.0, 3.0]
    assert data_hash(read_as_of(engine, "X", CLOSE + timedelta(days=2, hours=2))) == before


def test_a_week_stored_at_once_is_known_as_seven_days_stored_one_by_one(engine: sa.Engine) -> None:
    week = [value(days, float(days)) for days in range(7)]
    write(engine, *week, days_later=7, series="AT-ONCE")
    for days, one in enumerate(week):
        write(engine, one, days_later=days, series="DAILY")

    for days in range(8):
        assert values(engine, days, "AT-ONCE") == values(engine, days, "DAILY")


def test_a_job_that_stands_before_a_restatement_does_not_undo_it(engine: sa.Engine) -> None:
    write(engine, value(0, 1.0))
    write(engine, value(0, 2.0), days_later=9)

    assert write(engine, value(0, 1.0), days_later=5) == WriteResult(0, 0, 1)
    assert values(engine, 9) == [2.0]


@pytest.mark.parametrize("statement", ["UPDATE observations SET source = 'x'", "DELETE FROM observations"])
def test_the_database_refuses_to_change_or_remove_an_observation(engine: sa.Engine, statement: str) -> None:
    write(engine, value(0, 1.0))

    with pytest.raises(sa.exc.DatabaseError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(statement))

    assert values(engine, 0) == [1.0]


def test_a_write_that_is_rolled_back_leaves_nothing(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        record(connection, "X", "test", [value(0, 1.0)], CLOSE)
        connection.rollback()

    assert watermark(engine, "X") is None


def test_an_unknown_series_is_empty_and_has_no_watermark(engine: sa.Engine) -> None:
    assert read_as_of(engine, "NONE", CLOSE).columns == ["event_date", "known_at"]
    assert (watermark(engine, "NONE"), stored_dates(engine, "NONE"), active(engine, "none")) == (None, set(), None)


def test_the_newest_activation_counts(engine: sa.Engine) -> None:
    for series in ("GSPC", "SPY"):
        with engine.begin() as connection:
            activate(connection, "spy", ActiveSeries(series, "test"), "because", CLOSE)

    assert active(engine, "spy") == ActiveSeries("SPY", "test")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from([1.0, 2.0])), max_size=4, unique_by=lambda pair: pair[0]),
        min_size=2,
        max_size=5,
    ),
    st.uuids(),
)
def test_whatever_is_recorded_later_a_read_as_of_an_earlier_instant_stays_the_same(
    engine: sa.Engine, batches: list[list[tuple[int, float]]], name: object
) -> None:
    """But for dates that had not come then: their history is known by its own dates, whenever it arrives."""
    series = f"S-{name}"
    seen: dict[int, dict[date, float]] = {}

    for days_later, batch in enumerate(batches, start=10):
        write(engine, *(value(day, number) for day, number in batch), days_later=days_later, series=series)
        seen[days_later] = _read(engine, series, days_later)
        for earlier, then in seen.items():
            now = _read(engine, series, earlier)
            assert {day: number for day, number in now.items() if then and day <= max(then)} == then


def _read(engine: sa.Engine, series: str, days_later: int) -> dict[date, float]:
    frame = read_as_of(engine, series, CLOSE + timedelta(days=days_later, hours=2))
    return dict(zip(frame["event_date"], frame["value"], strict=True)) if frame.height else {}


def test_only_new_rows_are_written(engine: sa.Engine) -> None:
    for _ in range(3):
        write(engine, value(0, 1.0), value(1, 2.0), days_later=1)

    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(observations)).scalar_one() == 2
