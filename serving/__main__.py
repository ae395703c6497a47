"""`python -m serving`: the API under granian, until SIGTERM."""

import argparse
import shutil
import sys
from collections.abc import Sequence

from core.config.settings import export, load_settings
from core.errors import ContenderError
from core.jobs.runner import exit_code
from core.logs import configure_logs, get_log
from serving.pushed import tasks as pushed_tasks
from web.server import serve

_DESCRIPTION = (
    "Serves the champions' predictions until SIGTERM. It takes no options: the environment says where things are. "
    "CONTENDER_DATABASE_URL and CONTENDER_MLFLOW_URL are needed unless `contender up` has started both; "
    "CONTENDER_API_HOST, CONTENDER_API_PORT and CONTENDER_API_WORKERS say where it listens and with how many "
    "processes, CONTENDER_TASKS which tasks it serves, CONTENDER_HOME where it keeps models and waiting predictions."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Checks the settings before the workers start, then serves. Returns the exit code."""
    argparse.ArgumentParser(prog="python -m serving", description=_DESCRIPTION).parse_args(argv)
    log = get_log("serving")
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        settings.require_database_url()
        settings.require_mlflow_url()
        pushed_tasks.check(settings)
        folder = settings.home / "metrics"
        shutil.rmtree(folder, ignore_errors=True)  # counters restart with the service, not with a worker
        export({"CONTENDER_HOME": str(settings.home), "CONTENDER_TASKS": str(settings.tasks)})
        serve(
            "serving.worker:make",
            host=settings.api_host,
            port=settings.api_port,
            workers=settings.api_workers,
            variable="CONTENDER_API",
        )
    except ContenderError as error:
        log.error(error.problem, remedy=error.remedy)
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
