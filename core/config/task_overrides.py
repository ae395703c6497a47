"""Configurations that replaced a task's file: the newest counts, wherever a task is read. None is ever changed.

One whose declaration is null gave the word back to the file. The file says which tasks there are and whether their
rows are pushed; a configuration says the rest.
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
from core.config.task_files import load_pushed, load_task, pushed_names, understand
from core.config.tasks import Task
from core.db.access_tables import task_configurations
from core.db.engine import connect, reachable
from core.errors import ConfigurationError, ContenderError


class StaleNumberError(ContenderError):
    """A configuration that was to follow one which is not the newest any more."""


@dataclass(frozen=True)
class Configuration:
    """One row. `declaration`: the whole task, as its file would say it; None: the file counts from here on."""

    task: str
    number: int
    declaration: Mapping[str, Any] | None
    who: str
    why: str
    at: datetime


def newest(engine: sa.Engine) -> dict[str, Configuration]:
    """The configuration that counts, of each task that ever had one. Raises DatabaseUnreachableError."""
    statement = _rows().ext(distinct_on(task_configurations.c.task))
    order = (task_configurations.c.task, task_configurations.c.number.desc())
    with reachable(), engine.connect() as connection:
        return {row.task: Configuration(**row._mapping) for row in connection.execute(statement.order_by(*order))}


def history(engine: sa.Engine, task: str, limit: int = 100) -> list[Configuration]:
    """The configurations of a task, newest first."""
    with reachable(), engine.connect() as connection:
        return _of(connection, task, limit)


def find(engine: sa.Engine, task: str, number: int) -> Configuration | None:
    """One configuration; None when there is none of that number."""
    columns = task_configurations.c
    with reachable(), engine.connect() as connection:
        row = connection.execute(_rows().where(columns.task == task, columns.number == number)).one_or_none()
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
    """Adds a configuration in the caller's transaction: its number, and whether it says anything new.

    What counts already is not written again. Raises StaleNumberError when the newest number (0: none) is another than
    expected; None expects nothing.
    """
    lock = sa.func.hashtextextended(sa.func.concat(sa.func.current_schema(), f"/configurations/{task}"), 0)
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
    before = next(iter(_of(connection, task, 1)), None)
    number = 0 if before is None else before.number
    if declaration == (None if before is None else before.declaration):
        return number, False
    if expected_number is not None and number != expected_number:
        raise StaleNumberError(
            f"The newest configuration of {task!r} is number {number}, not {expected_number}: somebody came before.",
            "Read the task's configuration, then send the change with that number.",
        )
    stored = sa.JSON.NULL if declaration is None else declaration
    connection.execute(
        sa.insert(task_configurations).values(task=task, number=number + 1, declaration=stored, who=who, why=why)
    )
    return number + 1, True


def stored_task(folder: Path, name: str, replaced: Configuration | None) -> Task:
    """The task as it is declared: by its configuration where there is one, else by `folder/name.yaml`."""
    if replaced is None or replaced.declaration is None or name in pushed_names(folder):
        return load_task(folder, name)
    return understand(replaced.declaration, name, Task, title(replaced))


def pushed_task(folder: Path, name: str, replaced: Configuration | None) -> PushedTask:
    """The same of a task whose rows are pushed."""
    if replaced is None or replaced.declaration is None or name not in pushed_names(folder):
        return load_pushed(folder, name)
    return understand(replaced.declaration, name, PushedTask, title(replaced))


def title(configuration: Configuration) -> str:
    """How errors name it."""
    return f"Configuration {configuration.number} of {configuration.task}"


def in_force(settings: Settings, name: str) -> Configuration | None:
    """The configuration that counts for a task, for a process that has no engine yet; None: its file does.

    A database that does not respond raises: its silence does not mean that nothing was replaced. Where no database is
    named at all, there is nothing that could have been.
    """
    if not settings.database_url:
        return None
    engine = connect(settings.database_url, schema=settings.schema_name)
    try:
        return newest(engine).get(name)
    finally:
        engine.dispose()


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


def _of(connection: sa.Connection, task: str, limit: int) -> list[Configuration]:
    statement = _rows().where(task_configurations.c.task == task)
    rows = connection.execute(statement.order_by(task_configurations.c.number.desc()).limit(limit))
    return [Configuration(**row._mapping) for row in rows]
