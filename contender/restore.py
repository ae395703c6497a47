"""`python -m contender.restore [NAME]`: puts a backup back, the newest unless one is named.

Each database is restored beside the present one; when both are whole they change places in one transaction, and the
present ones stay under the name DATABASE_before_INSTANT. So a restore that fails half-way has changed nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from contender.backup import Dump, chosen, postgres_run, urls
from core.clock import Clock, SystemClock
from core.connection import reachable
from core.errors import ConfigurationError
from core.jobs import run_command
from core.settings import Settings

_DRAFT = "restoring"


def put_back(settings: Settings, clock: Clock, name: str | None = None) -> tuple[str, list[str]]:
    """Restores a backup. Returns its name, and the names under which the databases of before are kept.

    Raises NotFoundError or IntegrityError when there is no such backup or it is not whole, DatabaseUnreachableError
    when PostgreSQL does not answer; then everything is as it was.
    """
    place, dumps = chosen(settings, name)
    owned = {str(url.database): url for url in urls(settings)}
    unknown = [dump.database for dump in dumps if dump.database not in owned]
    if unknown:
        raise ConfigurationError(
            f"The backup {place.name} is of databases that this installation has not: {', '.join(unknown)}.",
            "Name the databases as they were when it was taken.",
        )
    engine = _superuser(settings, owned[dumps[0].database])
    try:
        for dump in dumps:
            _restore(settings, engine, place, dump, owned[dump.database])
        return place.name, _change_places(engine, [dump.database for dump in dumps], f"{clock.now():%Y%m%dT%H%M%SZ}")
    finally:
        engine.dispose()


def _superuser(settings: Settings, url: sa.URL) -> sa.Engine:
    admin = url.set(username="postgres", password=settings.postgres_password, database="postgres")
    return sa.create_engine(admin, isolation_level="AUTOCOMMIT")


def _restore(settings: Settings, engine: sa.Engine, place: Path, dump: Dump, url: sa.URL) -> None:
    """Fills a new database, owned by the owner of the one that it is to replace."""
    draft, owner = _quoted(f"{dump.database}_{_DRAFT}"), _quoted(url.username)
    with reachable(), engine.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
        connection.execute(sa.text(f"CREATE DATABASE {draft} OWNER {owner} TEMPLATE template0"))
    target = url.set(database=f"{dump.database}_{_DRAFT}")
    whole = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    postgres_run(settings, "pg_restore", target, *whole, str(place / dump.file))


def _change_places(engine: sa.Engine, names: Sequence[str], stamp: str) -> list[str]:
    """Gives every restored database the name of the present one, whose clients are sent away."""
    before = [f"{name}_before_{stamp}" for name in names]
    with reachable(), engine.connect() as connection:
        try:
            for name in names:
                connection.execute(sa.text(f"ALTER DATABASE {_quoted(name)} ALLOW_CONNECTIONS false"))
                connection.execute(
                    sa.text("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = :name"),
                    {"name": name},
                )
            connection.execute(sa.text("BEGIN"))
            for name, kept in zip(names, before, strict=True):
                connection.execute(sa.text(f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(kept)}"))
                connection.execute(sa.text(f"ALTER DATABASE {_quoted(f'{name}_{_DRAFT}')} RENAME TO {_quoted(name)}"))
            connection.execute(sa.text("COMMIT"))
        finally:
            for name in (*names, *before):
                known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
                if connection.execute(known, {"name": name}).one_or_none():
                    connection.execute(sa.text(f"ALTER DATABASE {_quoted(name)} ALLOW_CONNECTIONS true"))
    return before


def _quoted(name: str | None) -> str:
    return '"{}"'.format((name or "").replace('"', '""'))


def run(settings: Settings, *, name: str | None = None) -> str:
    """Restores, and says where the databases of before are."""
    restored, before = put_back(settings, SystemClock(), name)
    return f"backup {restored} is back; what was there before is kept as {' and '.join(before)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m contender.restore", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("name", nargs="?", help="a folder of CONTENDER_HOME/backups; the newest, without it")
    return run_command("contender.restore", __doc__ or "", partial(run, name=parser.parse_args(argv).name), [])


if __name__ == "__main__":
    sys.exit(main())
