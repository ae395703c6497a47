"""The event logs of tasks with a stored source: the training job appends each row once its label is known.

A row's id is its target date, so the log has it once, with the features and the label that were known when it was
appended: what is restated later is not learned again. Rows are in the order of their dates; one that enters the past
later is never appended.
"""

from datetime import date
from typing import TYPE_CHECKING

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import fetch_all, fetch_scalar
from core.db.event_tables import events
from core.jobs.context import JobContext
from features.arrays import History
from features.dataset import declaration_hash
from training.event_log import store as event_log
from training.event_log.events import NewEvent

if TYPE_CHECKING:
    from features.dataset import Dataset

GROUP = 2_000
"""Rows of one append."""


def name(task: Task, series: str) -> str:
    """The log of a task on a series. Rows of other features, or another target, mean something else: another log.

    >>> from core.config.task_files import load_task
    >>> from pathlib import Path
    >>> name(load_task(Path("tasks"), "airline"), "airline").rpartition("/")[0]
    'airline/airline'
    """
    return f"{task.name}/{series}/{declaration_hash(task)[:8]}"


def append(at: JobContext, task: Task, dataset: "Dataset") -> list[NewEvent]:
    """Appends the labelled rows after the newest date of the log, and returns them."""
    log = name(task, dataset.series)
    waiting = new_events(History.of(dataset), newest_date(at.engine, log))
    for first in range(0, len(waiting), GROUP):
        # `writing` keeps the lease from passing to another process, which would append the same rows.
        with at.writing(), event_log.session(at.engine) as connection:
            event_log.append(connection, log, waiting[first : first + GROUP])
    return waiting


def new_events(history: History, after: date | None) -> list[NewEvent]:
    """The labelled rows after a target date, in order, as they go into a log."""
    begin = history.labels_through(after)
    return [
        NewEvent("row", features, target, event_id=day.isoformat())
        for day, features, target in zip(
            history.labelled_days[begin:].tolist(),
            history.named(history.labelled_rows[begin:]),
            (history.labels[begin:] + 0.0).tolist(),  # -0.0 becomes 0.0, as the log stores it
            strict=True,
        )
    ]


def newest_date(engine: sa.Engine, log: str) -> date | None:
    """The target date of the newest row; None for an empty log."""
    newest = sa.select(events.c.event_id).where(events.c.log == log).order_by(events.c.seq.desc()).limit(1)
    found: str | None = fetch_scalar(engine, newest)
    return None if found is None else date.fromisoformat(found)


def dates(engine: sa.Engine, log: str, since: int) -> list[date]:
    """The target dates of the rows with the number `since` and greater, in order."""
    statement = sa.select(events.c.event_id).where(events.c.log == log, events.c.seq >= since)
    return [date.fromisoformat(row.event_id) for row in fetch_all(engine, statement.order_by(events.c.seq))]


def date_of(engine: sa.Engine, log: str, seq: int) -> date | None:
    """The target date of the row with a number; None when the log has none."""
    of_number = sa.select(events.c.event_id).where(events.c.log == log, events.c.seq == seq)
    found: str | None = fetch_scalar(engine, of_number)
    return None if found is None else date.fromisoformat(found)


def seq_of(engine: sa.Engine, log: str, day: date) -> int | None:
    """The number of the row with a target date; None when the log has none."""
    of_day = sa.and_(events.c.log == log, events.c.event_id == day.isoformat(), events.c.target.is_not(None))
    found: int | None = fetch_scalar(engine, sa.select(events.c.seq).where(of_day))
    return found
