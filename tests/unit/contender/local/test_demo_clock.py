"""A day every few seconds: which instants the clock of a demonstration jumps to, and where it ends."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contender.local.demo_clock import DemoDays, demo_clock, next_values, with_demo_clock
from contender.local.runner import _ignored_by_running
from core.config.settings import Settings
from core.config.task_files import load_task
from core.config.tasks import Task
from core.jobs.clock import Clock, FixedClock
from tests.support.paths import TASKS

SPY, AIRLINE = (load_task(TASKS, name) for name in ("spy", "airline"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "following", "due"),
    [
        ("2005-01-03 12:00", "2005-01-04 00:00", [SPY]),  # Monday's bar, three hours after the close in New York
        ("2005-01-08 00:00", "2005-01-11 00:00", [SPY]),  # over the weekend, to Monday's
        ("2005-01-31 12:00", "2005-02-01 00:00", [SPY, AIRLINE]),  # the month's end, and a bar at the same instant
    ],
)
def test_the_clock_jumps_to_where_the_next_value_is_final(now: str, following: str, due: list[Task]) -> None:
    assert next_values([SPY, AIRLINE], at(now)) == (at(following), due)


def test_days_pass_one_after_the_other_until_they_come_to_the_present() -> None:
    lived: list[datetime] = []
    reported: list[str] = []

    def run(clock: Clock, due: Sequence[Task]) -> None:
        assert list(due) == [SPY]
        lived.append(clock.now())

    days = DemoDays(0, [SPY], FixedClock(at("2005-01-06 00:00")), run, reported.append, at("2005-01-03 12:00"))

    for _ in range(6):
        days.advance()

    assert lived == [at("2005-01-04 00:00"), at("2005-01-05 00:00"), at("2005-01-06 00:00")]
    assert reported == [
        "It is 2005-01-04 00:00 (UTC).",
        "It is 2005-01-05 00:00 (UTC).",
        "It is 2005-01-06 00:00 (UTC).",
        "The demonstration has reached the present; the services go on.",
    ]


def test_a_day_does_not_begin_before_its_time() -> None:
    lived: list[object] = []
    machine = FixedClock(at("2005-01-06 00:00"))
    days = DemoDays(3600, [SPY], machine, lambda *day: lived.append(day), str, at("2005-01-03 12:00"))

    days.advance()
    days.advance()

    assert lived == []


def test_services_are_reported_the_day_and_those_that_run_already_are_ignored_by_running(tmp_path: Path) -> None:
    settings = with_demo_clock(Settings(home=tmp_path / "home"), at("2005-01-03 12:00"))

    assert settings.clock_file == str(tmp_path / "home" / "clock")
    assert demo_clock(settings).now() == at("2005-01-03 12:00")
    assert _ignored_by_running(settings) == "--accelerate"
    assert _ignored_by_running(Settings(home=tmp_path)) == ""
