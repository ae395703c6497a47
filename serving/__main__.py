"""`python -m serving`: the API under granian, until SIGTERM."""

import shutil
import sys

from core.errors import ContenderError
from core.jobs import exit_code
from core.logs import configure_logs, get_log
from core.settings import export, load_settings
from web.server import serve


def main() -> int:
    """Checks what can be checked before the workers start, then serves. Returns the exit code."""
    log = get_log("serving")
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        settings.require_database_url()
        settings.require_mlflow_url()
        folder = settings.home / "metrics"
        shutil.rmtree(folder, ignore_errors=True)  # counters begin anew with the service, not with a worker
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
