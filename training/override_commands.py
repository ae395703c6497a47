"""Replaces a task's file by a configuration, and restores an earlier one: checked, numbered, with who and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from core.auth import audit
from core.config import task_overrides
from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings
from core.config.task_files import known_tasks, load_pushed, parse_task, pushed_names, task_names
from core.config.task_overrides import Configuration, append
from core.config.tasks import Task
from core.db.engine import transaction
from core.errors import ConfigurationError, ContenderError, NotFoundError
from training.models import task_check

FILE: Literal["file"] = "file"


class DeclarationError(ContenderError):
    """A declaration with which the task could not run."""


@dataclass(frozen=True)
class TaskView:
    """The declaration in force for a task. `number`: of the newest configuration, 0 if there never was one.

    `origin`: whether that configuration is in force, or the file. `declaration` is None where what is in force cannot
    be used, and `trouble` the reason.
    """

    task: str
    number: int
    origin: Literal["file", "configuration"]
    declaration: Mapping[str, Any] | None
    trouble: str | None
    history: tuple[Configuration, ...]


@dataclass(frozen=True)
class Changed:
    """A configuration that was added, or, where it was equal to the one in force, that one."""

    task: str
    number: int
    origin: Literal["file", "configuration"]
    changed: bool


def require_task(folder: Path, name: str) -> None:
    """Raises NotFoundError for a name that no task file has, whether or not the file can be used."""
    known = sorted([*task_names(folder), *pushed_names(folder)])
    if name not in known:
        raise NotFoundError(f"There is no task {name[:60]!r} in {folder}.", known_tasks(known))


def show(engine: sa.Engine, settings: Settings, name: str, limit: int) -> TaskView:
    """The declaration in force for a task, and the earlier ones, newest first."""
    history = task_overrides.history(engine, name, limit)
    newest = history[0] if history else None
    number, origin = (0, FILE) if newest is None else (newest.number, _origin(newest.declaration))
    task: Task | PushedTask
    try:
        if name in pushed_names(settings.tasks):
            task = task_overrides.pushed_task(settings.tasks, name, newest)
            task_check.check_pushed(task, settings.model_name)
        else:
            task = task_check.load(settings.tasks, name, newest)
    except ConfigurationError as error:
        return TaskView(name, number, origin, None, str(error), tuple(history))
    return TaskView(name, number, origin, task.model_dump(mode="json"), None, tuple(history))


def replace(
    engine: sa.Engine,
    settings: Settings,
    name: str,
    declaration: Mapping[str, Any],
    *,
    expected_number: int,
    who: str,
    why: str,
) -> Changed:
    """Puts a declaration in force. It is checked as the task's file is.

    Args:
        engine: of our database.
        settings: where the tasks are.
        name: of the task.
        declaration: the new one.
        expected_number: of the configuration that the person has seen last.
        who: replaces it.
        why: it is replaced.

    Raises:
        DeclarationError: it cannot be used.
        StaleNumberError: another configuration was added since `expected_number`.
    """
    require_usable(settings, name, declaration)
    return _write(engine, name, declaration, "configuration replace", {}, expected_number, who, why)


def restore(
    engine: sa.Engine,
    settings: Settings,
    name: str,
    to: int | Literal["file"],
    *,
    expected_number: int | None,
    who: str,
    why: str,
) -> Changed:
    """Puts an earlier configuration, or the file, in force again: as the newest one, for none is ever removed.

    Args:
        engine: of our database.
        settings: where the tasks are.
        name: of the task.
        to: the number of the configuration, or the file.
        expected_number: of the configuration that the person has seen last; None to restore whatever came since.
        who: restores it.
        why: it is restored.

    Raises:
        NotFoundError: there is no configuration of that number.
        DeclarationError: it cannot be used any more.
        StaleNumberError: another configuration was added since `expected_number`.
    """
    declaration = None if to == FILE else _numbered(engine, name, to)
    require_usable(settings, name, declaration)
    return _write(engine, name, declaration, "configuration restore", {"to": to}, expected_number, who, why)


def require_usable(settings: Settings, name: str, declaration: Mapping[str, Any] | None) -> None:
    """Raises DeclarationError for a declaration (None: the file) that cannot be put in force for a task."""
    what, folder = f"The declaration of {name}", settings.tasks
    try:
        if declaration is not None:
            task_overrides.require_storable(declaration)
        if name in pushed_names(folder):
            is_file = declaration is None
            task = load_pushed(folder, name) if is_file else parse_task(declaration, name, PushedTask, what)
            task_check.check_pushed(task, settings.model_name)
        elif declaration is None:
            task_check.load(folder, name)
        else:
            task_check.check(parse_task(declaration, name, Task, what))
    except ConfigurationError as error:
        raise DeclarationError(error.problem, error.remedy) from None


def _numbered(engine: sa.Engine, name: str, number: int) -> Mapping[str, Any] | None:
    found = task_overrides.find(engine, name, number)
    if found is None:
        raise NotFoundError(f"The task {name!r} has no configuration {number}.", "Its history names those there are.")
    return found.declaration


def _write(
    engine: sa.Engine,
    name: str,
    declaration: Mapping[str, Any] | None,
    action: str,
    detail: Mapping[str, Any],
    expected_number: int | None,
    who: str,
    why: str,
) -> Changed:
    with transaction(engine) as connection:
        number, is_new = append(connection, name, declaration, who=who, why=why, expected_number=expected_number)
        # In the same transaction: no declaration is in force without its record.
        detail = {"task": name, "number": number, "why": why, **detail}
        audit.record(connection, who=who, action=action, outcome="done" if is_new else "nothing to do", detail=detail)
    return Changed(name, number, _origin(declaration), is_new)


def _origin(declaration: Mapping[str, Any] | None) -> Literal["file", "configuration"]:
    return "file" if declaration is None else "configuration"
