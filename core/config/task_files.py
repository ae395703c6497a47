"""The task files: one YAML file a task, read and checked before anything runs."""

from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from core.config.pushed_tasks import PushedTask
from core.config.tasks import Task
from core.config.validation_messages import messages
from core.errors import ConfigurationError, NotFoundError

TaskT = TypeVar("TaskT", Task, PushedTask)


def task_names(folder: Path) -> list[str]:
    """The names of the tasks whose rows come from a source, sorted; files that cannot be read are among them."""
    return [path.stem for path in _files(folder) if not _is_pushed(path)]


def pushed_names(folder: Path) -> list[str]:
    """The names of the tasks whose rows are pushed (`source: pushed`), sorted."""
    return [path.stem for path in _files(folder) if _is_pushed(path)]


def load_task(folder: Path, name: str) -> Task:
    """Reads and checks `folder/name.yaml`.

    Raises NotFoundError when there is no such file, ConfigurationError when it cannot be used, or is of a pushed task.
    """
    if name in pushed_names(folder):
        raise ConfigurationError(
            f"The rows of the task {name!r} are pushed over HTTP; no job fetches or trains it.",
            "See /predict_learn and the other learning endpoints of the API.",
        )
    return _load(folder, name, task_names(folder), Task)


def load_pushed(folder: Path, name: str) -> PushedTask:
    """Reads and checks the file of a pushed task; errors as `load_task`."""
    return _load(folder, name, pushed_names(folder), PushedTask)


def known_tasks(names: list[str]) -> str:
    """The remedy for the name of a task that does not exist.

    >>> known_tasks(["airline", "spy"])
    'Known tasks: airline, spy.'
    """
    if names:
        return f"Known tasks: {', '.join(names)}."
    return "There is no task file: set CONTENDER_TASKS to the folder that has them, or go to the one with `tasks`."


def display_path(path: Path) -> str:
    """A path as a person would write it here: from the working directory when it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _load(folder: Path, name: str, known: list[str], model: type[TaskT]) -> TaskT:
    if name not in known:
        raise NotFoundError(f"There is no task {name!r} in {folder}.", known_tasks(known))
    path = folder / f"{name}.yaml"
    file = display_path(path)
    try:
        document = _read(path)
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}.", "Save it as UTF-8 text.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date of the 13th month
        raise ConfigurationError(f"{file} is not YAML: {_where(error)}.", "Correct the file.") from None
    return parse_task(document, name, model, file, "the file")


def parse_task(document: Any, name: str, model: type[TaskT], where: str, what: str = "it") -> TaskT:
    """Validate a document that declares a task.

    Args:
        document: the parsed YAML or JSON.
        name: the task's name.
        model: `Task` or `PushedTask`.
        where: the document's name in errors.
        what: the document's name in remedies.

    Raises:
        ConfigurationError: it is not valid, or declares another task.
    """
    try:
        task = model.model_validate(document)
    except ValidationError as error:
        found = ". Also, ".join(messages(error, model))
        raise ConfigurationError(
            f"{where}: {found}.", f"Correct {what}; docs/tasks.md describes every field."
        ) from None
    if task.name != name:
        raise ConfigurationError(f"{where} names its task {task.name!r}.", f"Write `name: {name}`, or rename the file.")
    return task


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.yaml"))


def _is_pushed(path: Path) -> bool:
    try:
        return bool(_source(path, path.stat().st_mtime_ns) == "pushed")
    except (OSError, ValueError, yaml.YAMLError):
        return False


@lru_cache(maxsize=256)
def _source(path: Path, _modified: int) -> Any:  # the time of modification is a part of the cache's key
    document = _read(path)
    return document.get("source") if isinstance(document, dict) else None


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)


class _Loader(yaml.SafeLoader):
    """Refuses a duplicate key, of which YAML silently keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        known = set()
        for key, _ in node.value:
            if key.value in known:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} is given twice", key.start_mark)
            if isinstance(key.value, str):
                known.add(key.value)
        return super().construct_mapping(node, deep)


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', error)}"
