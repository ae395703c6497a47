"""`python -m contender.predict`: asks the API for the prediction of every task, which stores it as any answer.

So there is a prediction for each session, whether anybody asked or not; a date counts once per version.
"""

import sys

from contender.asking import NOT_FOUND, Services
from core.connection import patiently
from core.errors import NotFoundError
from core.jobs import run_command
from core.settings import Settings
from core.task_files import task_names

WAIT_SECONDS = 120


def ask(services: Services, task: str) -> str:
    """What the API predicts of a task, in a sentence. Raises UnreachableError while it has no champion."""
    status, told = services.ask("GET", f"{services.api}/tasks/{task}/prediction")
    if status == NOT_FOUND:
        raise NotFoundError(
            f"{services.api} knows no task {task}.", "See that the job and the API have the same tasks."
        )
    return (
        f"{task} {told['target_date']}: {told['prediction']} by version {told['model_version']} ({told['contender']})"
    )


def run(settings: Settings) -> str:
    """Asks for each task in turn; an API that is not there yet, or has no champion yet, has two minutes."""
    services = Services.of(settings)
    return "; ".join(patiently(WAIT_SECONDS)(ask, services, task) for task in task_names(settings.tasks))


if __name__ == "__main__":
    sys.exit(run_command("contender.predict", __doc__ or "", run))
