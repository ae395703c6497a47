"""The MLflow server: one worker, no job execution, a database of its own, and a list of allowed hosts.

`python -m contender.servers.mlflow` runs that of a cluster until SIGTERM.
"""

import os
import subprocess
import sys
from typing import Final

import sqlalchemy as sa

from core.config.settings import Settings, child_environment
from core.db.engine import open_engine, patiently, require_answer
from core.errors import ConfigurationError, ContenderError
from core.jobs.runner import run_command

# Job execution would start further processes that nothing here uses; OpenMP would start a thread per core.
ENVIRONMENT: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "OMP_NUM_THREADS": "1",
}
# A health check: `/health` answers 200 even to hosts whose API calls are all refused.
API_CALL: Final = "/api/2.0/mlflow/experiments/get?experiment_id=0"
START_SECONDS: Final = 120
_LOOPBACK: Final = ("localhost", "127.0.0.1")
# How long to wait for PostgreSQL, which a cluster starts at the same time.
WAIT_SECONDS: Final = 120
_UPGRADE_LOCK: Final = 0x6D6C666C6F77  # "mlflow"


def arguments(settings: Settings, backend_url: str, port: int) -> list[str]:
    """The arguments with which Python starts the server."""
    # MLflow answers 403 to a Host header that is not listed, and takes a name with a port for another name.
    named = [name.strip() for name in settings.mlflow_names.split(",") if name.strip()]
    hosts = ",".join(f"{host}{suffix}" for host in (*_LOOPBACK, *named) for suffix in ("", ":*"))
    return [
        # One worker: each takes 250 MB, and one is enough for the jobs and the API.
        *("-m", "mlflow", "server", "--host", settings.mlflow_host, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", backend_url),
        *("--artifacts-destination", settings.mlflow_artifacts or _folder(settings)),
        *("--allowed-hosts", hosts),
        *("--uvicorn-opts", "--no-access-log"),
    ]


def _folder(settings: Settings) -> str:
    artifacts = settings.home / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    return str(artifacts)


def upgrade(backend_url: str) -> None:
    """Migrate MLflow's tables to the version of MLflow that is installed, one process at a time."""
    with open_engine(backend_url) as engine:
        patiently(WAIT_SECONDS)(require_answer, engine)
        with engine.connect() as connection:
            # MLflow takes no lock of its own: two upgrades at once break each other. Released with the connection.
            connection.execute(sa.select(sa.func.pg_advisory_lock(_UPGRADE_LOCK)))
            done = subprocess.run(  # noqa: S603 (our own interpreter)
                [sys.executable, "-m", "mlflow", "db", "upgrade", backend_url], capture_output=True, text=True
            )
    if done.returncode:
        raise ContenderError(
            f"MLflow could not migrate its tables: {done.stderr.strip()[-500:]}",
            "Restore the database from a backup of this MLflow, or run the version that wrote it.",
        )


def become(settings: Settings) -> str:
    """Replace this process by the server. Raises ContenderError when it cannot be started."""
    url = settings.mlflow_backend_url
    if not url:
        raise ConfigurationError(
            "No database of MLflow is known: MLFLOW_BACKEND_STORE_URI is not set.",
            "Set it to postgresql+psycopg2://…, as `contender secrets` does.",
        )
    upgrade(url)
    command = [sys.executable, *arguments(settings, url, settings.mlflow_port)]
    return os.execve(sys.executable, command, child_environment(settings, ENVIRONMENT))  # noqa: S606 (our own interpreter)


if __name__ == "__main__":
    sys.exit(run_command("contender.servers.mlflow", __doc__ or "", become))
