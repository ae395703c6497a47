from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from core.config.task_files import load_task
from core.errors import SourceUnreachableError
from ingestion.sources.base import NoNetworkError, RateLimitedError
from ingestion.store import fetch_log
from ingestion.store.fetch_log import Fetch, cut_off, failure, is_answered, reason_to_wait
from tests.support.paths import REPOSITORY

SPY = load_task(REPOSITORY / "tasks", "spy")
FRIDAY = date(2024, 5, 17)
FRIDAY_FINAL = datetime(2024, 5, 17, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


def answered(at: datetime) -> list[Fetch]:
    return [Fetch(at, "answered", "")]


def failed(at: datetime, error: SourceUnreachableError, times: int = 1) -> list[Fetch]:
    return [Fetch(at, "unreachable", failure(error))] * times


def test_a_source_that_was_never_asked_is_asked() -> None:
    assert not is_answered(SPY, [], FRIDAY_FINAL, missing=())


def test_what_was_answered_today_is_not_asked_again_today() -> None:
    asked = datetime(2024, 5, 17, 8, tzinfo=UTC)

    assert is_answered(SPY, answered(asked), asked + 10 * HOUR, missing=())


def test_after_the_last_session_is_in_nothing_is_asked_over_the_weekend() -> None:
    for hours in (1, 30, 60):
        assert is_answered(SPY, answered(FRIDAY_FINAL + HOUR), FRIDAY_FINAL + hours * HOUR, missing=())
    monday_final = datetime(2024, 5, 20, 23, tzinfo=UTC)
    assert not is_answered(SPY, answered(FRIDAY_FINAL + HOUR), monday_final, missing=(date(2024, 5, 20),))


def test_a_session_that_was_due_and_not_sent_is_asked_for_again_after_some_hours() -> None:
    history = answered(FRIDAY_FINAL)

    assert is_answered(SPY, history, FRIDAY_FINAL + 5 * HOUR, missing=(FRIDAY,))
    assert not is_answered(SPY, history, FRIDAY_FINAL + 6 * HOUR, missing=(FRIDAY,))


def test_a_job_that_stands_in_the_past_asks_only_for_what_is_missing_there() -> None:
    history = answered(datetime(2026, 1, 1, tzinfo=UTC))

    assert is_answered(SPY, history, FRIDAY_FINAL, missing=())
    assert not is_answered(SPY, history, FRIDAY_FINAL, missing=(FRIDAY,))


def test_for_a_job_that_stands_in_the_past_a_day_is_a_day_of_the_machine() -> None:
    asked_at = datetime(2026, 1, 1, 9, tzinfo=UTC)
    history = answered(asked_at)

    for missing in ((), (FRIDAY,)):
        assert is_answered(SPY, history, FRIDAY_FINAL, missing, asked_at + HOUR)
    assert not is_answered(SPY, history, FRIDAY_FINAL, (FRIDAY,), asked_at + 6 * HOUR)


def test_an_answer_that_was_cut_off_in_the_past_is_no_answer_for_what_comes_after() -> None:
    asked_at = datetime(2026, 1, 1, 9, tzinfo=UTC)
    history = [Fetch(asked_at, "answered", cut_off(FRIDAY_FINAL))]
    monday = date(2024, 5, 20)

    assert is_answered(SPY, history, FRIDAY_FINAL, (), asked_at + HOUR)
    assert is_answered(SPY, history, FRIDAY_FINAL, (FRIDAY,), asked_at + HOUR)
    assert not is_answered(SPY, history, asked_at, (FRIDAY, monday), asked_at + HOUR)


def test_a_source_that_asked_to_be_left_alone_is_left_alone_for_an_hour() -> None:
    history = failed(FRIDAY_FINAL - 5 * HOUR, RateLimitedError("429."))

    assert "gets none until 19:00 UTC" in reason_to_wait(history, FRIDAY_FINAL - 4.5 * HOUR)
    assert reason_to_wait(history, FRIDAY_FINAL - 4 * HOUR) == ""


def test_a_source_that_fails_five_times_is_left_alone_for_the_day() -> None:
    history = failed(FRIDAY_FINAL - 3 * HOUR, SourceUnreachableError("500."), times=5)

    assert reason_to_wait(history[:4], FRIDAY_FINAL) == ""
    assert "failed 5 times today (500.)" in reason_to_wait(history, FRIDAY_FINAL)
    assert reason_to_wait(history, FRIDAY_FINAL + 2 * HOUR) == ""


def test_an_answer_that_was_refused_counts_as_a_failure() -> None:
    history = [Fetch(FRIDAY_FINAL - HOUR, "refused", "empty")] * 5

    assert "failed 5 times" in reason_to_wait(history, FRIDAY_FINAL)


def test_a_machine_without_a_network_may_try_as_often_as_it_likes() -> None:
    assert reason_to_wait(failed(FRIDAY_FINAL - HOUR, NoNetworkError("no route."), times=50), FRIDAY_FINAL) == ""


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_the_day_is_counted_in_utc_whatever_the_zone_of_the_clock(zone: str) -> None:
    now = datetime(2024, 5, 17, 23, 30, tzinfo=UTC).astimezone(ZoneInfo(zone))

    assert fetch_log.day_of(now) == datetime(2024, 5, 17, tzinfo=UTC)
