from datetime import UTC, date, datetime, timedelta

import pytest

from core.config.task_files import load_task
from core.jobs.calendars import (
    closes_at,
    expected_dates,
    final_at,
    is_expected,
    last_final_date,
    next_date,
    session,
    timezone,
)
from tests.support.paths import TASKS

SPY = load_task(TASKS, "spy")
AIRLINE = load_task(TASKS, "airline")


def test_a_session_closes_at_four_in_new_york_whatever_the_season() -> None:
    assert closes_at(SPY, date(2024, 1, 16)) == datetime(2024, 1, 16, 21, tzinfo=UTC)
    assert closes_at(SPY, date(2024, 7, 16)) == datetime(2024, 7, 16, 20, tzinfo=UTC)


def test_a_half_day_closes_early_and_is_final_early() -> None:
    assert closes_at(SPY, date(2018, 12, 24)) == datetime(2018, 12, 24, 18, tzinfo=UTC)
    assert final_at(SPY, date(2018, 12, 24)) == datetime(2018, 12, 24, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2024, 7, 3), True),
        (date(2024, 7, 4), False),  # Independence Day
        (date(2024, 7, 6), False),  # a Saturday
        (date(2018, 12, 5), False),  # a day of mourning, in no rule of holidays
        (date(1990, 1, 2), False),  # before the task's calendar begins
    ],
)
def test_the_exchange_says_which_dates_have_a_session(day: date, expected: bool) -> None:
    assert is_expected(SPY, day) is expected
    assert (session(SPY, day) is not None) is expected


def test_the_session_after_a_friday_is_monday_and_after_a_holiday_weekend_tuesday() -> None:
    assert next_date(SPY, date(2024, 5, 17)) == date(2024, 5, 20)
    assert next_date(SPY, date(2024, 5, 24)) == date(2024, 5, 28)


def test_the_sample_has_exactly_the_sessions_of_its_twenty_years() -> None:
    assert len(expected_dates(SPY, date(1999, 1, 4), date(2018, 12, 31))) == 5031


def test_no_dates_are_expected_in_a_range_that_runs_backwards() -> None:
    assert expected_dates(SPY, date(2024, 5, 3), date(2024, 5, 1)) == []
    assert expected_dates(AIRLINE, date(1950, 5, 1), date(1950, 1, 1)) == []


def test_a_session_is_the_last_final_one_three_hours_after_its_close() -> None:
    final = final_at(SPY, date(2024, 5, 3))

    assert last_final_date(SPY, final - timedelta(seconds=1)) == date(2024, 5, 2)
    assert last_final_date(SPY, final) == date(2024, 5, 3)
    assert last_final_date(SPY, final + timedelta(days=2)) == date(2024, 5, 3)


def test_nothing_is_final_before_the_task_starts() -> None:
    assert last_final_date(SPY, datetime(1998, 6, 1, tzinfo=UTC)) is None


def test_a_month_is_known_when_it_is_over() -> None:
    assert closes_at(AIRLINE, date(1959, 12, 1)) == datetime(1960, 1, 1, tzinfo=UTC)
    assert next_date(AIRLINE, date(1959, 12, 1)) == date(1960, 1, 1)
    assert last_final_date(AIRLINE, datetime(1960, 1, 1, tzinfo=UTC)) == date(1959, 12, 1)
    assert expected_dates(AIRLINE, date(1959, 11, 2), date(1960, 2, 1)) == [
        date(1959, 12, 1),
        date(1960, 1, 1),
        date(1960, 2, 1),
    ]


def test_dates_are_counted_by_the_clock_of_the_exchange() -> None:
    assert timezone(SPY).key == "America/New_York"
    assert timezone(AIRLINE).key == "UTC"
