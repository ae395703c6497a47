"""Which dates a series has, when a bar is final, and which date comes next: exchange calendars and months."""

import warnings
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from core.config.tasks import Task

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar

# Longer than any exchange is closed, and than two months: within it every series has a value.
_LOOK_BACK_DAYS = 70


@dataclass(frozen=True)
class Session:
    """The hours of one trading session, in UTC."""

    opens_at: datetime
    closes_at: datetime


@lru_cache(maxsize=4)
def exchange(calendar: str, start: date) -> "ExchangeCalendar":
    """The calendar of an exchange from `start` on."""
    # Heavy, with pandas behind it: a task without an exchange needs neither.
    import exchange_calendars
    import pandas as pd

    # Without a start the library's calendars begin twenty years ago.
    first = pd.Timestamp(start) - pd.Timedelta(days=14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the library uses pandas in ways that pandas 3.1 warns of
        return exchange_calendars.get_calendar(calendar, start=first)


def session(task: Task, event_date: date) -> Session | None:
    """The hours of the exchange's session of this date, or None when it is no session (or outside the calendar)."""
    return _hours(task).get(event_date)


def timezone(task: Task) -> ZoneInfo:
    """The time zone in which the exchange's dates are counted; UTC for a series without an exchange."""
    if task.calendar is None:
        return ZoneInfo("UTC")
    return ZoneInfo(str(exchange(task.calendar, task.start).tz))


def closes_at(task: Task, event_date: date) -> datetime:
    """The instant at which the value of `event_date` is complete: the session's close, or the month's end (UTC)."""
    if task.frequency == "month":
        return datetime.combine(next_date(task, event_date), datetime.min.time(), tzinfo=UTC)
    return _hours(task)[event_date].closes_at


def final_at(task: Task, event_date: date) -> datetime:
    """The instant from which the value of `event_date` counts: its close plus the task's `final_after_hours`."""
    return closes_at(task, event_date) + timedelta(hours=task.final_after_hours)


def next_date(task: Task, event_date: date) -> date:
    """The date of the value that follows `event_date`: the next session, or the first day of the next month."""
    if task.frequency == "month":
        return (event_date.replace(day=1) + timedelta(days=32)).replace(day=1)
    dates = _dates(task)
    return dates[bisect_right(dates, event_date)]


def is_expected(task: Task, event_date: date) -> bool:
    """Whether the series has a value on this date: a session of the exchange, or the first of a month."""
    if task.frequency == "month":
        return event_date.day == 1
    return event_date in _hours(task)


def expected_dates(task: Task, first: date, last: date) -> list[date]:
    """Every date from `first` to `last`, both included, on which the series has a value."""
    if task.frequency == "month":
        month, months = first.replace(day=1), []
        while month <= last:
            if month >= first:
                months.append(month)
            month = next_date(task, month)
        return months
    dates = _dates(task)
    return dates[bisect_left(dates, first) : bisect_right(dates, last)]


def last_final_date(task: Task, now: datetime) -> date | None:
    """The newest date whose value is final at `now`, or None when there is none since the task's start."""
    dates = expected_dates(task, max(task.start, now.date() - timedelta(days=_LOOK_BACK_DAYS)), now.date())
    return next((day for day in reversed(dates) if final_at(task, day) <= now), None)


def _hours(task: Task) -> dict[date, Session]:
    assert task.calendar is not None, "core.config.tasks requires a calendar for sessions"  # noqa: S101
    return _all_hours(task.calendar, task.start)


def _dates(task: Task) -> list[date]:
    assert task.calendar is not None, "core.config.tasks requires a calendar for sessions"  # noqa: S101
    return _all_dates(task.calendar, task.start)


@lru_cache(maxsize=4)
def _all_hours(calendar: str, start: date) -> dict[date, Session]:
    """Every session of a calendar."""
    # All at once: one session at a time costs the library 75 µs, a second for a history.
    hours = exchange(calendar, start)
    opens, closes = (column.dt.tz_convert("UTC").dt.to_pydatetime() for column in (hours.opens, hours.closes))
    return {
        day.date(): Session(opening.replace(tzinfo=UTC), closing.replace(tzinfo=UTC))
        for day, opening, closing in zip(hours.sessions, opens, closes, strict=True)
    }


@lru_cache(maxsize=4)
def _all_dates(calendar: str, start: date) -> list[date]:
    return list(_all_hours(calendar, start))
