"""The task files with all that they name: read, and checked against the transforms and the procedures that exist."""

from pathlib import Path

from core.errors import ConfigurationError
from core.task_files import load_task, shown
from core.tasks import Task
from features import transforms
from training import contenders
from training.incremental import IncrementalProcedure


def load(folder: Path, name: str) -> Task:
    """The task `folder/name.yaml`, of which no later step will say that it names what does not exist.

    Raises NotFoundError when there is no such file, ConfigurationError when it cannot be used.
    """
    task = load_task(folder, name)
    try:
        check(task)
    except ConfigurationError as error:
        raise ConfigurationError(f"{shown(folder / f'{name}.yaml')}: {error.problem}", error.remedy) from None
    return task


def check(task: Task) -> None:
    """Raises ConfigurationError for a transform, a procedure or a parameter that does not exist or does not fit.

    Imports neither scikit-learn nor River: a batch procedure or a baseline is made, which costs nothing before it is
    fitted; of an incremental one the parameters say all.
    """
    transforms.columns(task)
    for name in task.contenders:
        if not isinstance(procedure := contenders.procedure(task, name), IncrementalProcedure):
            procedure.make(contenders.shape(task, name))
