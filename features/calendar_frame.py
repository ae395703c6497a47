"""The history that transforms work on: observations laid on every date they were expected, with adjusted growth."""

import polars as pl

from core.config.tasks import Task
from core.jobs import calendars

_BAR = ("close", "dividend", "split")


def on_calendar(task: Task, observations: pl.DataFrame) -> pl.DataFrame:
    """The observations of expected dates (sessions of the exchange, first days of months); others take no part."""
    if observations.is_empty():
        return observations
    first, last = observations["event_date"][0], observations["event_date"][-1]
    expected = pl.Series(calendars.expected_dates(task, first, last), dtype=pl.Date)
    return observations.filter(observations["event_date"].is_in(expected.implode()))


def lay_out(task: Task, observations: pl.DataFrame) -> pl.DataFrame:
    """One row for every expected date from the first observation to the last; a missing one is a row of nulls.

    `observations` has one row a date, sorted, every date expected. Adds `target_date` (the expected date that
    follows) and, where the fields allow it, `growth`. No row depends on how far back the history goes.
    """
    first, last = observations["event_date"][0], observations["event_date"][-1]
    dates = calendars.expected_dates(task, first, last)
    expected = pl.DataFrame(
        {"event_date": dates, "target_date": [*dates[1:], calendars.next_date(task, last)]},
        schema={"event_date": pl.Date, "target_date": pl.Date},
    )
    history = expected.join(observations, on="event_date", how="left", maintain_order="left")
    growth = _growth(history)
    return history if growth is None else history.with_columns(growth.alias("growth"))


def _growth(history: pl.DataFrame) -> pl.Series | None:
    """One plus the adjusted return of each date: split * (close + dividend) / previous close, or value / previous.

    The dividend is that of one share after the split, on its ex-date. Null unless this date and the one before it
    both have positive values.
    """
    if all(name in history.columns for name in _BAR):
        close, split = history["close"], history["split"]
        now, before = split * (close + history["dividend"]), close.shift(1)
    elif "close" not in history.columns and "value" in history.columns:
        now, before = history["value"], history["value"].shift(1)
    else:
        return None
    growth = now / before
    return growth.set(~((before > 0) & (growth > 0) & growth.is_finite()).fill_null(value=False), None)
