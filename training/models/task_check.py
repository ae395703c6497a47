"""Tasks, read and checked against the transforms and the procedures that exist."""

from pathlib import Path

from core.config import task_overrides
from core.config.pushed_tasks import OnlineContender, PushedTask
from core.config.settings import Settings
from core.config.task_files import display_path
from core.config.task_overrides import Configuration
from core.config.tasks import Task
from core.errors import ConfigurationError
from features import transforms
from training.models import catalog
from training.models.incremental import IncrementalProcedure
from training.models.online_catalog import ONLINE, OnlineProcedure, declared

NAMED_BY_ENVIRONMENT = "live"
"""The one task whose contender MODEL_NAME picks."""


def load(folder: Path, name: str, replaced: Configuration | None = None) -> Task:
    """The task of `folder/name.yaml`, or the configuration that replaced it, checked so that no later step refuses it.

    Raises:
        NotFoundError: there is no such file.
        ConfigurationError: it cannot be used.

    """
    task = task_overrides.stored_task(folder, name, replaced)
    try:
        check(task)
    except ConfigurationError as error:
        where = display_path(folder / f"{name}.yaml")
        if replaced is not None and replaced.declaration is not None:
            where = task_overrides.label(replaced)
        raise ConfigurationError(f"{where}: {error.problem}", error.remedy) from None
    return task


def in_force(settings: Settings, name: str) -> Task:
    """The task by its newest configuration or its file; for a command.

    Raises DatabaseUnreachableError when the newest configuration cannot be read, and as `load`.
    """
    return load(settings.tasks, name, task_overrides.active_configuration(settings, name))


def check(task: Task) -> None:
    """Raises ConfigurationError for a transform, a procedure or a parameter that does not exist or does not fit.

    Imports neither scikit-learn nor River.
    """
    transforms.columns(task)
    for name in task.contenders:
        if not isinstance(procedure := catalog.procedure(task, name), IncrementalProcedure):
            procedure.make(catalog.shape(task, name))  # costs nothing: scikit-learn is imported by `fit`


def check_pushed(task: PushedTask, model_name: str) -> None:
    """Checks a pushed task, and the contender that MODEL_NAME picks, as `check` does. River is not imported."""
    task, _ = chosen(task, model_name)
    for name in task.contenders:
        procedure(task, name)


def procedure(task: PushedTask, contender: str) -> OnlineProcedure:
    """The procedure of a pushed task's contender, its parameters checked."""
    named = task.contenders[contender]
    return declared(named.procedure, named.parameters, task.target.kind)


def chosen(task: PushedTask, model_name: str) -> tuple[PushedTask, str]:
    """The task with the contender that is to serve declared in it, and that contender's name."""
    if task.name != NAMED_BY_ENVIRONMENT or not model_name:
        return task, task.serves
    if model_name in task.contenders:
        return task, model_name
    if model_name in ONLINE:
        with_it = {**task.contenders, model_name: OnlineContender(procedure=model_name)}
        return task.model_copy(update={"contenders": with_it}), model_name
    known = ", ".join(dict.fromkeys([*task.contenders, *ONLINE]))
    raise ConfigurationError(f"MODEL_NAME is {model_name!r}, which no model is called.", f"Known: {known}.")
