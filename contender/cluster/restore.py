"""`python -m contender.cluster.restore [NAME]`: puts a backup back, the newest unless one is named.

Each database is restored beside the present one, and brought to the newest migration; when both are whole they change
places in one transaction, and the present ones stay under the name DATABASE_before_INSTANT. So a restore that fails
half-way, or is killed, has changed nothing. One runs at a time.
"""

import argparse
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from contender.cluster.backup import Dump, chosen, postgres_run, taken, urls
from core.config.settings import Settings
from core.db.engine import connect, migrate, reachable
from core.errors import BusyError, ConfigurationError
from core.jobs.clock import Clock, SystemClock
from core.jobs.runner import run_command

_DRAFT = "restoring"
_LOCK = 0x726573746F7265  # "restore"
_LOOK_SECONDS = 0.05


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
        with _alone(engine):
            for dump in dumps:
                _restore(settings, engine, place, dump, owned[dump.database])
            _migrate(settings)
            names = [dump.database for dump in dumps]
            return place.name, _change_places(engine, names, f"{clock.now():%Y%m%dT%H%M%SZ}")
    finally:
        engine.dispose()


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Keeps other restores away, for as long as this process is connected. Raises BusyError when there is one."""
    with reachable(), engine.connect() as connection:
        if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK))).scalar_one():
            raise BusyError("Another restore is at work.", "Wait until it is done.")
        yield


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


def _migrate(settings: Settings) -> None:
    """Brings what was restored to the newest migration: a backup may be older than the program."""
    url = sa.make_url(settings.require_database_url())
    engine = connect(url.set(database=f"{url.database}_{_DRAFT}").render_as_string(hide_password=False))
    try:
        migrate(engine, schema=settings.schema_name)
    finally:
        engine.dispose()


def _change_places(engine: sa.Engine, names: Sequence[str], stamp: str) -> list[str]:
    """Gives every restored database the name of the present one, whose clients are sent away."""
    before = [f"{name}_before_{stamp}" for name in names]
    with reachable(), engine.connect() as connection, _sent_away(engine, names):
        connection.exec_driver_sql("BEGIN")
        for name, kept in zip(names, before, strict=True):
            connection.exec_driver_sql(f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(kept)}")
            connection.exec_driver_sql(f"ALTER DATABASE {_quoted(f'{name}_{_DRAFT}')} RENAME TO {_quoted(name)}")
        connection.exec_driver_sql("COMMIT")
    return before


@contextmanager
def _sent_away(engine: sa.Engine, names: Sequence[str]) -> Iterator[None]:
    """Ends the sessions in these databases, again and again while the block runs.

    A RENAME locks new sessions out and then waits five seconds for the others to leave.
    """
    done = threading.Event()
    leave = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(:names)")

    def send_away() -> None:
        with suppress(sa.exc.DBAPIError), engine.connect() as connection:
            while not done.wait(_LOOK_SECONDS):
                connection.execute(leave, {"names": list(names)})

    sender = threading.Thread(target=send_away, name="restore-sends-away", daemon=True)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def _quoted(name: str | None) -> str:
    return '"{}"'.format((name or "").replace('"', '""'))


def listing(settings: Settings) -> str:
    """The backups there are, oldest first."""
    return f"backups: {', '.join(place.name for place in taken(settings)) or 'none'}"


def run(settings: Settings, *, name: str | None = None) -> str:
    """Restores, and says where the databases of before are."""
    restored, before = put_back(settings, SystemClock(), name)
    return f"backup {restored} is back; what was there before is kept as {' and '.join(before)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m contender.cluster.restore", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("name", nargs="?", help="a folder of CONTENDER_HOME/backups; the newest, without it")
    parser.add_argument("--list", action="store_true", help="say which there are, and restore none")
    arguments = parser.parse_args(argv)
    work = listing if arguments.list else partial(run, name=arguments.name)
    return run_command("contender.cluster.restore", __doc__ or "", work, [])


if __name__ == "__main__":
    sys.exit(main())
