"""Ingestion, features, training and promotion for the tasks of a folder: the same jobs that the cluster runs."""

import traceback
from dataclasses import dataclass
from pathlib import Path

from contender.console.progress import ProgressReporter
from core.config.settings import Settings
from core.config.task_files import load_pushed, pushed_names, task_names
from core.config.tasks import Task
from core.error_translation import translate
from core.errors import ConfigurationError, ContenderError
from core.jobs.clock import Clock
from core.jobs.runner import Job


@dataclass(frozen=True)
class TaskFailure:
    """A task that was skipped or failed, and why; the reporter has shown it already."""

    task: str
    error: ContenderError


@dataclass(frozen=True)
class LoadedTasks:
    """The tasks with a stored source whose files are valid, and every task file that is not."""

    tasks: tuple[Task, ...]
    skipped: tuple[TaskFailure, ...]


def load_tasks(folder: Path, progress: ProgressReporter) -> LoadedTasks:
    """Read and check every task file, and report each invalid one; it does not stop the others.

    Files of pushed tasks are checked too, though no job of the pipeline runs for them.

    Raises:
        ConfigurationError: there is no task file, or none is valid.

    """
    # Imports scikit-learn and River, which take most of a second that `contender down` need not wait for.
    from training.models.task_check import check_pushed, load

    names, pushed = task_names(folder), pushed_names(folder)
    if not names and not pushed:
        raise ConfigurationError(
            f"There is no task file in {folder}.", "Name a folder with one: CONTENDER_TASKS=FOLDER contender up"
        )
    tasks: list[Task] = []
    skipped: list[TaskFailure] = []
    for name in sorted([*names, *pushed]):
        try:
            if name in pushed:
                check_pushed(load_pushed(folder, name), model_name="")
            else:
                tasks.append(load(folder, name))
        except ContenderError as error:
            progress.heading(f"{name}: skipped, its task file is not valid")
            progress.failure(error.problem, error.remedy)
            skipped.append(TaskFailure(name, error))
    if len(skipped) == len(names) + len(pushed):
        raise ConfigurationError(
            f"No task file in {folder} is valid.", "Correct the errors above, then run the same command again."
        )
    return LoadedTasks(tuple(tasks), tuple(skipped))


def jobs() -> dict[str, Job]:
    """The steps of the pipeline in their order."""
    # Imported on demand: together they take seconds, which `contender status` need not wait for.
    import features.job
    import ingestion.job
    import training.promote
    import training.train

    return {
        "ingestion": ingestion.job.run,
        "features": features.job.run,
        "training": training.train.run,
        "promotion": training.promote.run,
    }


def run_task(settings: Settings, task: Task, clock: Clock, progress: ProgressReporter) -> None:
    """Run every step for one task, with a progress line for each."""
    progress.heading(f"{task.name}: {task.title}")
    for name, job in jobs().items():
        with progress.step(name) as done:
            done(job(settings, task, clock).sentence())


def run_all(
    settings: Settings, loaded: LoadedTasks, clock: Clock, progress: ProgressReporter
) -> tuple[TaskFailure, ...]:
    """Run the pipeline for every loaded task; one that fails does not stop the others.

    Args:
        settings: where the database and MLflow are.
        loaded: the tasks to run, and those already skipped.
        clock: the instant that the jobs take as now.
        progress: shows each step, and each failure when it happens.

    Returns:
        The failures in the order in which they were reported, skipped task files first.

    """
    from training.models.task_check import in_force  # slow to import, see `load_tasks`

    failures = list(loaded.skipped)
    for task in loaded.tasks:
        try:
            # Read again: a configuration stored in the database may have replaced the file, which was loaded before
            # the database ran.
            run_task(settings, in_force(settings, task.name), clock, progress)
        except Exception as error:  # noqa: BLE001 (a bug that one task meets must not stop the others either)
            known = translate(error) or _log_bug(settings, task.name, error)
            progress.failure(known.problem, known.remedy)
            failures.append(TaskFailure(task.name, known))
    return tuple(failures)


def report_failures(failures: tuple[TaskFailure, ...], progress: ProgressReporter) -> None:
    """Name the tasks that failed once more, at the end of the output, where it is read last."""
    if failures:
        names = ", ".join(failure.task for failure in failures)
        progress.failure(f"Not done: {names}.", "See the errors above, correct them, then: contender run")


def _log_bug(settings: Settings, task: str, error: Exception) -> ContenderError:
    """Append the traceback of an unexplained exception to a log, and return an error that names the log."""
    log = settings.home / "logs" / "faults.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{task}\n{''.join(traceback.format_exception(error))}\n")
    # The first line only: some libraries put whole tables into their messages.
    first = (str(error).strip().splitlines() or [""])[0]
    return ContenderError(
        f"The task {task} failed with a bug of Contender: {type(error).__name__}: {first}".rstrip(".: ") + ".",
        f"The traceback is in {log}. Stored data are unchanged; the other tasks go on.",
    )
