"""The loop: ingestion, features, training, promotion for every task, each step the same job that the cluster runs."""

import traceback

from contender.console.progress import ProgressReporter
from contender.local.declared import Declared, Failure
from core.config.settings import Settings
from core.config.tasks import Task
from core.error_translation import explained
from core.errors import ContenderError
from core.jobs.clock import Clock
from core.jobs.runner import Job


def jobs() -> dict[str, Job]:
    """The steps in their order."""
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
    """Takes one task through the loop, with a progress line per step."""
    progress.heading(f"{task.name}: {task.title}")
    for name, job in jobs().items():
        with progress.step(name) as done:
            done(job(settings, task, clock).sentence())


def run_all(settings: Settings, declared: Declared, clock: Clock, progress: ProgressReporter) -> tuple[Failure, ...]:
    """Takes every task that can be used through the loop; one that fails does not hold up the others.

    A configuration that replaced a task's file counts; the file has been read before there was a database to ask.
    Returns the failures in the order in which they were told, those of task files first.
    """
    from training.models.task_check import in_force  # with much that `contender down` need not wait for

    failures = list(declared.skipped)
    for task in declared.tasks:
        try:
            run_task(settings, in_force(settings, task.name), clock, progress)
        except Exception as error:  # noqa: BLE001 (a fault of ours in one task must not hold up the others either)
            told = explained(error) or _fault(settings, task.name, error)
            progress.failure(told.problem, told.remedy)
            failures.append(Failure(task.name, told))
    return tuple(failures)


def _fault(settings: Settings, task: str, error: Exception) -> ContenderError:
    """Writes down where a fault of ours happened, and says it in a sentence."""
    log = settings.home / "logs" / "faults.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{task}\n{''.join(traceback.format_exception(error))}\n")
    first = (str(error).strip().splitlines() or [""])[0]
    return ContenderError(
        f"The task {task} met a fault of Contender: {type(error).__name__}: {first}".rstrip(".: ") + ".",
        f"Where it happened is in {log}. What is stored is as it was; the other tasks go on.",
    )


def tell_again(failures: tuple[Failure, ...], progress: ProgressReporter) -> None:
    """Names the tasks that failed where a person looks last: at the end."""
    if failures:
        names = ", ".join(failure.task for failure in failures)
        remedy = "Do what is said of it above" if len(failures) == 1 else "Do what is said of them above"
        progress.failure(f"Not done: {names}.", f"{remedy}, then: contender run")
