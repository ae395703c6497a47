"""Which dates a series has, when a bar is final, and which date comes next: exchange calendars and months."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from core.tasks import Task

if TYPE_CHECKING:
    from exchange_calendars import ExchangeCalendar


@lru_cache(maxsize=4)
def exchange(calendar: str, start: date) -> "ExchangeCalendar":
    """The calendar of an exchange from `start` on (left to itself the library begins twenty years ago)."""
    import exchange_calendars
    import pandas as pd

    first = pd.Timestamp(start) - pd.Timedelta(days=14)
    return exchange_calendars.get_calendar(calendar, start=first)


def closes_at(task: Task, event_date: date) -> datetime:
    """The instant at which the value of `event_date` is complete: the session's close, or the month's end (UTC)."""
    if task.frequency == "month":
        return datetime.combine(next_date(task, event_date), datetime.min.time(), tzinfo=UTC)
    close: datetime = _calendar(task).session_close(_stamp(event_date)).to_pydatetime()
    return close.astimezone(UTC)


def final_at(task: Task, event_date: date) -> datetime:
    """The instant from which the value of `event_date` counts: its close plus the task's `final_after_hours`."""
    return closes_at(task, event_date) + timedelta(hours=task.final_after_hours)


def next_date(task: Task, event_date: date) -> date:
    """The date of the value that follows `event_date`: the next session, or the first day of the next month."""
    if task.frequency == "month":
        return (event_date.replace(day=1) + timedelta(days=32)).replace(day=1)
    following: date = _calendar(task).next_session(_stamp(event_date)).date()
    return following


def is_expected(task: Task, event_date: date) -> bool:
    """Whether the series has a value on this date: a session of the exchange, or the first of a month."""
    if task.frequency == "month":
        return event_date.day == 1
    return bool(_calendar(task).is_session(_stamp(event_date)))


def expected_dates(task: Task, first: date, last: date) -> list[date]:
    """Every date from `first` to `last`, both included, on which the series has a value."""
    if task.frequency == "month":
        month, months = first.replace(day=1), []
        while month <= last:
            if month >= first:
                months.append(month)
            month = next_date(task, month)
        return months
    if first > last:
        return []
    return [stamp.date() for stamp in _calendar(task).sessions_in_range(_stamp(first), _stamp(last))]


def last_final_date(task: Task, now: datetime) -> date | None:
    """The newest date whose value is final at `now`, or None when there is none since the task's start."""
    dates = expected_dates(task, max(task.start, now.date() - timedelta(days=70)), now.date())
    return next((day for day in reversed(dates) if final_at(task, day) <= now), None)


def _calendar(task: Task) -> "ExchangeCalendar":
    assert task.calendar is not None, "core.tasks requires a calendar for sessions"  # noqa: S101
    return exchange(task.calendar, task.start)


def _stamp(day: date) -> "object":
    import pandas as pd

    return pd.Timestamp(day)
