"""`python -m contender.cluster.prepare`: what must be so in the database before a service or a job of an installation
begins.

It waits for PostgreSQL (with `--mlflow`, for MLflow as well), brings the tables to the newest migration, under a lock,
and makes the tokens whose secrets the environment holds. Every pod of a cluster runs it first: whoever comes first does
the work, and the others find it done.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import requests

from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from core.db.engine import connect, migrate, patiently
from core.errors import RegistryUnreachableError
from core.jobs.runner import run_command

WHO = "(installation)"
WAIT_SECONDS = 120
_ASK_SECONDS = 5
_OK = 200


def prepare(settings: Settings) -> list[str]:
    """Migrates, and makes the tokens. Returns the names of those that were not there yet."""
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    given = {Role.ADMIN: settings.admin_token, Role.TRAINER: settings.trainer_token}
    try:
        migrate(engine, schema=settings.schema_name)
        return [
            name_of(role)
            for role, secret in given.items()
            if secret and tokens.adopt(engine, name=name_of(role), role=role, secret=secret, who=WHO)
        ]
    finally:
        engine.dispose()


def name_of(role: Role) -> str:
    """How the audit log calls whoever uses the installation's token of a role."""
    return f"installation-{role.value}"


def require_mlflow(url: str) -> None:
    """Raises RegistryUnreachableError unless MLflow answers a call, which says more than its `/health`."""
    problem = f"MLflow at {url} "
    try:
        answer = requests.get(f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0", timeout=_ASK_SECONDS)
    except requests.RequestException as error:
        raise RegistryUnreachableError(
            f"{problem}did not answer: {type(error).__name__}.", "It is asked again."
        ) from None
    if answer.status_code != _OK:
        raise RegistryUnreachableError(f"{problem}answered {answer.status_code}.", "It is asked again.")


def run(settings: Settings, *, mlflow: bool = False, wait_seconds: float = WAIT_SECONDS) -> str:
    """Waits, prepares, and says what was done. What does not answer in time is an UnreachableError."""
    made: list[str] = patiently(wait_seconds)(prepare, settings)
    if mlflow:
        patiently(wait_seconds)(require_mlflow, settings.require_mlflow_url())
    return f"the database is ready; tokens made: {', '.join(made) or 'none'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m contender.cluster.prepare", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--mlflow", action="store_true", help="wait until MLflow answers, too")
    return run_command(
        "contender.cluster.prepare", __doc__ or "", partial(run, mlflow=parser.parse_args(argv).mlflow), []
    )


if __name__ == "__main__":
    sys.exit(main())
