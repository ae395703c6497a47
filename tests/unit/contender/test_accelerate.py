"""A day every few seconds: which instants the clock of a demonstration jumps to, and where it ends."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from contender.accelerate import Days, next_instant
from core.clock import Clock, FixedClock
from core.task_files import load_task

TASKS = Path(__file__).parent.parent.parent.parent / "tasks"
SPY, AIRLINE = (load_task(TASKS, name) for name in ("spy", "airline"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "following"),
    [
        ("2005-01-03 12:00", "2005-01-04 00:00"),  # Monday's bar, three hours after the close in New York
        ("2005-01-08 00:00", "2005-01-11 00:00"),  # over the weekend, to Monday's
        ("2005-01-31 12:00", "2005-02-01 00:00"),  # the month's end and Monday's bar at the same instant
    ],
)
def test_the_clock_jumps_to_where_the_next_value_is_final(now: str, following: str) -> None:
    assert next_instant([SPY, AIRLINE], at(now)) == at(following)


def test_days_pass_one_after_the_other_until_they_come_to_the_present() -> None:
    lived: list[datetime] = []
    told: list[str] = []

    def run(clock: Clock) -> None:
        lived.append(clock.now())

    days = Days(0, [SPY], FixedClock(at("2005-01-06 00:00")), run, told.append, at("2005-01-03 12:00"))

    for _ in range(6):
        days.go_on()

    assert lived == [at("2005-01-04 00:00"), at("2005-01-05 00:00"), at("2005-01-06 00:00")]
    assert told == [
        "It is 2005-01-04 00:00 (UTC).",
        "It is 2005-01-05 00:00 (UTC).",
        "It is 2005-01-06 00:00 (UTC).",
        "The days have come to the present; what is served stays up.",
    ]


def test_a_day_does_not_begin_before_its_time() -> None:
    lived: list[Clock] = []
    days = Days(3600, [SPY], FixedClock(at("2005-01-06 00:00")), lived.append, str, at("2005-01-03 12:00"))

    days.go_on()
    days.go_on()

    assert lived == []
