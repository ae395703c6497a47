"""`python -m contender.cluster.prepare`: prepare the database before a service or a job of an installation starts.

It waits for PostgreSQL (with `--mlflow`, for MLflow as well), migrates the tables under a lock, and creates the tokens
whose secrets are in the environment. Every pod of a cluster runs it first: the first one does the work, the others find
it done.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import requests

from contender.servers.mlflow import API_CALL
from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from core.db.engine import migrate, open_engine, patiently
from core.errors import RegistryUnreachableError
from core.jobs.runner import run_command

WHO = "(installation)"
WAIT_SECONDS = 120
_REQUEST_SECONDS = 5
_OK = 200


def prepare(settings: Settings) -> list[str]:
    """Migrate the tables and create the tokens. Returns the names of the tokens that did not exist yet."""
    secrets = {Role.ADMIN: settings.admin_token, Role.TRAINER: settings.trainer_token}
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        migrate(engine, schema=settings.schema_name)
        return [
            name_of(role)
            for role, secret in secrets.items()
            if secret and tokens.adopt(engine, name=name_of(role), role=role, secret=secret, who=WHO)
        ]


def name_of(role: Role) -> str:
    """The name of the installation's token of a role, which the audit log records."""
    return f"installation-{role.value}"


def require_mlflow(url: str) -> None:
    """Raise RegistryUnreachableError unless MLflow answers an API call."""
    problem = f"MLflow at {url} "
    try:
        answer = requests.get(f"{url}{API_CALL}", timeout=_REQUEST_SECONDS)
    except requests.RequestException as error:
        raise RegistryUnreachableError(
            f"{problem}did not answer: {type(error).__name__}.", "It is tried again."
        ) from None
    if answer.status_code != _OK:
        raise RegistryUnreachableError(f"{problem}answered {answer.status_code}.", "It is tried again.")


def run(settings: Settings, *, mlflow: bool = False, wait_seconds: float = WAIT_SECONDS) -> str:
    """Wait, prepare, and report what was done. Raises UnreachableError when a service does not answer in time."""
    made: list[str] = patiently(wait_seconds)(prepare, settings)
    if mlflow:
        patiently(wait_seconds)(require_mlflow, settings.require_mlflow_url())
    return f"the database is ready; tokens created: {', '.join(made) or 'none'}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m contender.cluster.prepare", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("--mlflow", action="store_true", help="wait until MLflow answers, too")
    return run_command(
        "contender.cluster.prepare", __doc__ or "", partial(run, mlflow=parser.parse_args(argv).mlflow), []
    )


if __name__ == "__main__":
    sys.exit(main())
