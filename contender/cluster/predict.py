"""`python -m contender.cluster.predict`: asks the API for the prediction of every task, which stores it as any answer.

So there is a prediction for each session, whether anybody asked or not; a date counts once per version.
"""

import sys

from contender.cluster.service_client import NOT_FOUND, ServiceClient
from core.config.settings import Settings
from core.config.task_files import task_names
from core.db.engine import patiently
from core.errors import ContenderError, NotFoundError
from core.jobs.runner import run_command
from core.logs import get_log

WAIT_SECONDS = 120


def ask(services: ServiceClient, task: str) -> str:
    """What the API predicts of a task, in a sentence. Raises UnreachableError while it has no champion."""
    status, told = services.ask("GET", f"{services.api}/tasks/{task}/prediction", may_be_absent=True)
    if status == NOT_FOUND:
        raise NotFoundError(
            f"{services.api} knows no task {task}.", "See that the job and the API have the same tasks."
        )
    return (
        f"{task} {told['target_date']}: {told['prediction']} by version {told['model_version']} ({told['contender']})"
    )


def run(settings: Settings) -> str:
    """Asks for each task in turn; one that fails keeps none from its turn, and the first failure is raised.

    An API that is not there yet, or has no champion yet, has two minutes.
    """
    services = ServiceClient.of(settings)
    said: list[str] = []
    failures: list[ContenderError] = []
    names = task_names(settings.tasks)
    if not names:
        raise NotFoundError(f"There is no task in {settings.tasks}.", "See that CONTENDER_TASKS is right.")
    for task in names:
        try:
            said.append(patiently(0 if failures else WAIT_SECONDS)(ask, services, task))
        except ContenderError as error:
            failures.append(error)
    if failures and said:
        get_log("contender.cluster.predict").info("; ".join(said))
    if failures:
        raise failures[0]
    return "; ".join(said)


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.predict", __doc__ or "", run))
