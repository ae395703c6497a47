"""The task files of the folder, all read before anything starts; one that cannot be used does not stop the others."""

from dataclasses import dataclass
from pathlib import Path

from contender.console.progress import ProgressReporter
from core.config.task_files import load_pushed, pushed_names, task_names
from core.config.tasks import Task
from core.errors import ConfigurationError, ContenderError


@dataclass(frozen=True)
class Failure:
    """A task that was passed over or did not get through, and why: told on the progress when it happened."""

    task: str
    error: ContenderError


@dataclass(frozen=True)
class Declared:
    """The tasks that can be taken through the loop, and those whose files cannot be used.

    Tasks to which rows are pushed go through no loop; their files are checked all the same.
    """

    tasks: tuple[Task, ...]
    skipped: tuple[Failure, ...]


def declared(folder: Path, progress: ProgressReporter) -> Declared:
    """Reads and checks every task file; tells of each that cannot be used.

    Raises ConfigurationError when there is no task file, or not one that can be used.
    """
    from training.models.task_check import (  # most of a second, which `contender down` need not wait for
        check_pushed,
        load,
    )

    names, pushed = task_names(folder), pushed_names(folder)
    if not names and not pushed:
        raise ConfigurationError(
            f"There is no task file in {folder}.", "Name a folder with one: CONTENDER_TASKS=FOLDER contender up"
        )
    tasks: list[Task] = []
    skipped: list[Failure] = []
    for name in sorted([*names, *pushed]):
        try:
            if name in pushed:
                check_pushed(load_pushed(folder, name), model_name="")
            else:
                tasks.append(load(folder, name))
        except ContenderError as error:
            progress.heading(f"{name}: skipped, for its task file cannot be used")
            progress.failure(error.problem, error.remedy)
            skipped.append(Failure(name, error))
    if len(skipped) == len(names) + len(pushed):
        raise ConfigurationError(
            f"No task file in {folder} can be used.", "Correct what is told above, then run the same command again."
        )
    return Declared(tuple(tasks), tuple(skipped))
