"""The loop: ingestion, features, training, promotion for every task, each step the same job that the cluster runs."""

from contender.progress import Progress
from core.clock import Clock
from core.errors import ConfigurationError, ContenderError
from core.faults import explained
from core.jobs import Job
from core.settings import Settings
from core.tasks import Task, load_task, task_names


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


def run_task(settings: Settings, task: Task, clock: Clock, progress: Progress) -> None:
    """Takes one task through the loop, with a progress line per step."""
    progress.heading(f"{task.name}: {task.title}")
    for name, job in jobs().items():
        with progress.step(name) as done:
            done(job(settings, task, clock).sentence())


def run_all(settings: Settings, clock: Clock, progress: Progress) -> ContenderError | None:
    """Takes every task of the tasks folder through the loop; one that fails does not hold up the others.

    All files are read before the first job starts. Returns the first failure, which was told on the progress.
    """
    tasks = [load_task(settings.tasks, name) for name in task_names(settings.tasks)]
    if not tasks:
        raise ConfigurationError(
            f"There is no task file in {settings.tasks}.", "Set CONTENDER_TASKS to a folder with one."
        )
    failures: list[ContenderError] = []
    for task in tasks:
        try:
            run_task(settings, task, clock, progress)
        except Exception as error:
            told = explained(error)
            if told is None:
                raise
            progress.failure(told.problem, told.remedy)
            failures.append(told)
    return failures[0] if failures else None
