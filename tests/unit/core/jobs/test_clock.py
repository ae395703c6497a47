from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from core.config.settings import Settings
from core.errors import ConfigurationError
from core.jobs.clock import FileClock, FixedClock, ReplayClock, SystemClock, configured_clock, parse_as_of


def test_an_as_of_date_means_the_end_of_that_day_in_utc() -> None:
    assert parse_as_of("2018-12-31").now() == datetime(2018, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_an_as_of_instant_without_a_zone_is_utc() -> None:
    assert parse_as_of("2018-12-31T22:00:00").now() == datetime(2018, 12, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2018-13-01", "31.12.2018", ""])
def test_an_as_of_that_is_no_date_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ConfigurationError, match="2018-12-31"):
        parse_as_of(text)


def test_a_fixed_clock_tells_utc_whatever_zone_it_was_given() -> None:
    tokyo = timezone(timedelta(hours=9))

    assert FixedClock(datetime(2020, 1, 1, 9, tzinfo=tokyo)).now() == datetime(2020, 1, 1, tzinfo=UTC)


def test_the_system_clock_tells_utc() -> None:
    assert SystemClock().now().tzinfo is UTC


NOON = FixedClock(datetime(2026, 3, 4, 12, tzinfo=UTC))


@pytest.mark.parametrize("text", ["2026-03-05", "2099-01-01", "2026-03-04T12:00:01", "2026-03-04T12:30:00+00:00"])
def test_an_as_of_to_come_is_refused_in_words(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lies in the future: it is 2026-03-04 12:00 \(UTC\)"):
        parse_as_of(text, NOON)


def test_as_of_today_is_now_and_makes_no_bar_final_before_its_time() -> None:
    assert parse_as_of("2026-03-04", NOON) == NOON


def test_an_instant_of_another_zone_is_compared_in_utc() -> None:
    assert parse_as_of("2026-03-04T20:00:00+09:00", NOON).now() == datetime(2026, 3, 4, 11, tzinfo=UTC)


def test_a_file_clock_shows_the_instant_in_its_file_and_without_it_the_machines(tmp_path: Path) -> None:
    clock = FileClock(tmp_path / "clock")
    before = SystemClock().now()
    assert before <= clock.now() <= SystemClock().now()

    clock.move_to(datetime(2005, 1, 3, 23, 0, tzinfo=UTC))
    assert clock.now() == datetime(2005, 1, 3, 23, 0, tzinfo=UTC)

    clock.remove()
    assert clock.now() >= before


def test_a_replay_clock_jumps_a_day_at_a_time_and_shows_every_process_the_same() -> None:
    began = datetime(2018, 1, 2, 6, tzinfo=UTC)
    now = SystemClock().now()

    days = [ReplayClock(began, now - timedelta(seconds=ago), 300.0).now() - began for ago in (0, 299, 301, 1000)]

    assert days == [timedelta(days=days) for days in (0, 0, 1, 3)]


def test_a_replay_clock_stops_at_the_present_and_does_not_go_before_its_beginning() -> None:
    began = datetime(2018, 1, 2, tzinfo=UTC)
    now = SystemClock().now()

    assert ReplayClock(began, now - timedelta(days=1), 0.001).now() - now < timedelta(minutes=1)
    assert ReplayClock(began, now + timedelta(days=1), 300.0).now() == began


def test_the_settings_say_which_clock_a_process_goes_by(tmp_path: Path) -> None:
    instants = {"clock_start": "2018-01-02T06:00:00", "clock_since": "2026-11-20T08:00:00+01:00"}

    assert isinstance(configured_clock(Settings()), SystemClock)
    assert configured_clock(Settings(clock_file=str(tmp_path / "clock"), **instants)) == FileClock(tmp_path / "clock")
    assert configured_clock(Settings(**instants)) == ReplayClock(
        datetime(2018, 1, 2, 6, tzinfo=UTC), datetime(2026, 11, 20, 7, tzinfo=UTC), 300.0
    )
    with pytest.raises(ConfigurationError, match="CONTENDER_CLOCK_SINCE is not"):
        configured_clock(Settings(clock_start=instants["clock_start"]))
