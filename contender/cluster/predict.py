"""`python -m contender.cluster.predict`: request the prediction of every task from the API, which stores it.

So there is a prediction for each session, even if no client requested one. Each date counts once per version.
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


def request_prediction(services: ServiceClient, task: str) -> str:
    """The API's prediction for a task, as a sentence. Raises UnreachableError while the task has no champion."""
    status, answer = services.request("GET", f"{services.api}/tasks/{task}/prediction", may_be_absent=True)
    if status == NOT_FOUND:
        raise NotFoundError(
            f"{services.api} knows no task {task}.", "Check that the job and the API have the same task files."
        )
    return (
        f"{task} {answer['target_date']}: {answer['prediction']} "
        f"by version {answer['model_version']} ({answer['contender']})"
    )


def run(settings: Settings) -> str:
    """Request the prediction of each task in turn; raise the first failure after all were tried."""
    services = ServiceClient.of(settings)
    done: list[str] = []
    failures: list[ContenderError] = []
    names = task_names(settings.tasks)
    if not names:
        raise NotFoundError(f"There is no task in {settings.tasks}.", "Check CONTENDER_TASKS.")
    for task in names:
        try:
            # The API may still be starting: the first failing task waits for it, the others need not wait again.
            done.append(patiently(0 if failures else WAIT_SECONDS)(request_prediction, services, task))
        except ContenderError as error:
            failures.append(error)
    if failures and done:  # the error alone is logged by the frame of the command
        get_log("contender.cluster.predict").info("; ".join(done))
    if failures:
        raise failures[0]
    return "; ".join(done)


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.predict", __doc__ or "", run))
