"""Configurations that override a task's file: the newest one counts wherever a task is read. Rows are only added.

One whose declaration is null returns to the file. The task files decide which tasks there are and whether their rows
are pushed; a configuration declares the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.config.task_files import load_pushed, load_task, parse_task, pushed_names
from core.config.tasks import Task
from core.db.access_tables import task_configurations
from core.db.engine import fetch_all, fetch_one, open_engine
from core.errors import ConfigurationError, ContenderError


class StaleNumberError(ContenderError):
    """The configuration that a change was based on is no longer the newest."""


@dataclass(frozen=True)
class Configuration:
    """One row. `declaration`: the whole task, in the form of its file; None: the file counts again."""

    task: str
    number: int
    declaration: Mapping[str, Any] | None
    who: str
    why: str
    at: datetime


def newest(engine: sa.Engine) -> dict[str, Configuration]:
    """The newest configuration of each task that ever had one. Raises DatabaseUnreachableError."""
    statement = _rows().ext(distinct_on(task_configurations.c.task))
    order = (task_configurations.c.task, task_configurations.c.number.desc())
    return {row.task: Configuration(**row._mapping) for row in fetch_all(engine, statement.order_by(*order))}


def history(engine: sa.Engine, task: str, limit: int = 100) -> list[Configuration]:
    """The configurations of a task, newest first."""
    return [Configuration(**row._mapping) for row in fetch_all(engine, _newest_first(task, limit))]


def find(engine: sa.Engine, task: str, number: int) -> Configuration | None:
    """One configuration; None when there is none of that number."""
    columns = task_configurations.c
    row = fetch_one(engine, _rows().where(columns.task == task, columns.number == number))
    return None if row is None else Configuration(**row._mapping)


def append(
    connection: sa.Connection,
    task: str,
    declaration: Mapping[str, Any] | None,
    *,
    who: str,
    why: str,
    expected_number: int | None,
) -> tuple[int, bool]:
    """Add a configuration in the caller's transaction, unless it equals the newest one.

    Args:
        connection: the transaction.
        task: the task's name.
        declaration: the whole task; None: its file.
        who: the person who changes it.
        why: the reason, for the history.
        expected_number: the number of the configuration that the change is based on (0: none); None: any.

    Returns:
        The number of the newest configuration, and whether it was added.

    Raises:
        StaleNumberError: the newest number is not the expected one.
    """
    lock = sa.func.hashtextextended(sa.func.concat(sa.func.current_schema(), f"/configurations/{task}"), 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
    # Under the lock: two changes at once would take the same number.
    row = connection.execute(_newest_first(task, 1)).one_or_none()
    before = None if row is None else Configuration(**row._mapping)
    number = 0 if before is None else before.number
    if declaration == (None if before is None else before.declaration):
        return number, False
    if expected_number is not None and number != expected_number:
        raise StaleNumberError(
            f"The newest configuration of {task!r} is number {number}, not {expected_number}: it has changed.",
            "Read the task's configuration, then send the change with that number.",
        )
    stored = sa.JSON.NULL if declaration is None else declaration
    connection.execute(
        sa.insert(task_configurations).values(task=task, number=number + 1, declaration=stored, who=who, why=why)
    )
    return number + 1, True


def stored_task(folder: Path, name: str, override: Configuration | None) -> Task:
    """The task as its override declares it, where there is one, else as `folder/name.yaml` does."""
    if override is None or override.declaration is None or name in pushed_names(folder):
        return load_task(folder, name)
    return parse_task(override.declaration, name, Task, label(override))


def pushed_task(folder: Path, name: str, override: Configuration | None) -> PushedTask:
    """The pushed task as its override declares it, where there is one, else as `folder/name.yaml` does."""
    if override is None or override.declaration is None or name not in pushed_names(folder):
        return load_pushed(folder, name)
    return parse_task(override.declaration, name, PushedTask, label(override))


def label(configuration: Configuration) -> str:
    """The name of a configuration in errors."""
    return f"Configuration {configuration.number} of {configuration.task}"


def active_configuration(settings: Settings, name: str) -> Configuration | None:
    """The override of a task, for a process that has no engine yet; None where its file counts.

    Raises UnreachableError: an outage of the database does not mean that there is no override.
    """
    if not settings.database_url:  # without a database there cannot be an override
        return None
    with open_engine(settings.database_url, schema=settings.schema_name) as engine:
        return newest(engine).get(name)


def require_storable(value: Any) -> None:
    """Raises ConfigurationError for text that Postgres cannot keep: NUL, or half of a surrogate pair."""
    if isinstance(value, Mapping):
        for key, held in value.items():
            require_storable(key)
            require_storable(held)
    elif isinstance(value, list):
        for held in value:
            require_storable(held)
    elif isinstance(value, str) and ("\x00" in value or value.encode("utf-8", "replace").decode() != value):
        raise ConfigurationError("The declaration holds text with a character that cannot be stored.", "Leave it out.")


def _rows() -> sa.Select[Any]:
    return sa.select(task_configurations)


def _newest_first(task: str, limit: int) -> sa.Select[Any]:
    statement = _rows().where(task_configurations.c.task == task)
    return statement.order_by(task_configurations.c.number.desc()).limit(limit)
