"""The MLflow server: one worker, no job execution, its own database, and only the hosts by which it may be called.

`python -m contender.servers.mlflow` is the one of a cluster, until SIGTERM.
"""

import os
import subprocess
import sys
from typing import Final

import sqlalchemy as sa

from core.config.settings import Settings, child_environment
from core.db.engine import connect, patiently, require_answer
from core.errors import ConfigurationError, ContenderError
from core.jobs.runner import run_command

QUIET: Final = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "OMP_NUM_THREADS": "1",
}
_LOOPBACK: Final = ("localhost", "127.0.0.1")
WAIT_SECONDS: Final = 120
"""For PostgreSQL, which starts beside it."""
_UPGRADE_LOCK: Final = 0x6D6C666C6F77  # "mlflow"


def arguments(settings: Settings, backend_url: str, port: int) -> list[str]:
    """What Python is called with. MLflow answers a host that it is not told of with 403, so each has its name here."""
    named = [name.strip() for name in settings.mlflow_names.split(",") if name.strip()]
    hosts = ",".join(f"{host}{suffix}" for host in (*_LOOPBACK, *named) for suffix in ("", ":*"))
    return [
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
    """Brings MLflow's tables to what this MLflow expects, one process at a time."""
    engine = connect(backend_url)
    try:
        patiently(WAIT_SECONDS)(require_answer, engine)
        with engine.connect() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(_UPGRADE_LOCK)))
            done = subprocess.run(  # noqa: S603 (our own interpreter)
                [sys.executable, "-m", "mlflow", "db", "upgrade", backend_url], capture_output=True, text=True
            )
    finally:
        engine.dispose()
    if done.returncode:
        raise ContenderError(
            f"MLflow could not bring its tables to its version: {done.stderr.strip()[-500:]}",
            "Restore the database from a backup of this MLflow, or run the version that wrote it.",
        )


def become(settings: Settings) -> str:
    """Turns this process into the server; raises what keeps it from that."""
    url = settings.mlflow_backend_url
    if not url:
        raise ConfigurationError(
            "No database of MLflow is known: MLFLOW_BACKEND_STORE_URI is not set.",
            "Set it to postgresql+psycopg2://…, as `contender secrets` does.",
        )
    upgrade(url)
    command = [sys.executable, *arguments(settings, url, settings.mlflow_port)]
    return os.execve(sys.executable, command, child_environment(settings, QUIET))  # noqa: S606 (our own interpreter)


if __name__ == "__main__":
    sys.exit(run_command("contender.servers.mlflow", __doc__ or "", become))
