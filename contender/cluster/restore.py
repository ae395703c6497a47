"""`python -m contender.cluster.restore [NAME]`: restore a backup, the newest unless one is named.

Each database is restored beside the present one and migrated. When both are whole, they are exchanged in one
transaction, and the present ones stay under the name DATABASE_before_INSTANT. So a restore that fails, or is killed,
has changed nothing. One runs at a time.
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
from core.db.engine import connection, migrate, open_engine
from core.errors import BusyError, ConfigurationError
from core.jobs.clock import Clock, SystemClock
from core.jobs.runner import run_command

_DRAFT = "restoring"
_LOCK = 0x726573746F7265  # "restore"
_LOOK_SECONDS = 0.05


def restore_backup(settings: Settings, clock: Clock, name: str | None = None) -> tuple[str, list[str]]:
    """Restore a backup. Returns its name, and the names under which the replaced databases are kept.

    Args:
        settings: name the databases.
        clock: gives the instant in the names of the replaced databases.
        name: of the backup; the newest, without it.

    Raises:
        NotFoundError: there is no such backup.
        IntegrityError: it is not whole.
        DatabaseUnreachableError: PostgreSQL does not answer.

    """
    folder, dumps = chosen(settings, name)
    owned = {str(url.database): url for url in urls(settings)}
    unknown = [dump.database for dump in dumps if dump.database not in owned]
    if unknown:
        raise ConfigurationError(
            f"The backup {folder.name} has databases that this installation has not: {', '.join(unknown)}.",
            "Name the databases as they were when it was taken.",
        )
    engine = _superuser(settings, owned[dumps[0].database])
    try:
        with _only_one(engine):
            for dump in dumps:
                _restore(settings, engine, folder, dump, owned[dump.database])
            _migrate(settings)
            names = [dump.database for dump in dumps]
            return folder.name, _exchange(engine, names, f"{clock.now():%Y%m%dT%H%M%SZ}")
    finally:
        engine.dispose()


@contextmanager
def _only_one(engine: sa.Engine) -> Iterator[None]:
    """Allow one restore at a time. Raises BusyError when there is another."""
    # PostgreSQL releases this lock with the connection, so that a process that was killed does not keep it.
    with connection(engine) as opened:
        if not opened.execute(sa.select(sa.func.pg_try_advisory_lock(_LOCK))).scalar_one():
            raise BusyError("Another restore runs.", "Wait until it is done.")
        yield


def _superuser(settings: Settings, url: sa.URL) -> sa.Engine:
    admin = url.set(username="postgres", password=settings.postgres_password, database="postgres")
    return sa.create_engine(admin, isolation_level="AUTOCOMMIT")


def _restore(settings: Settings, engine: sa.Engine, folder: Path, dump: Dump, url: sa.URL) -> None:
    """Restore a dump into a new database with the owner of the one that it is to replace."""
    draft, owner = _quoted(f"{dump.database}_{_DRAFT}"), _quoted(url.username)
    with connection(engine) as opened:
        # What a restore that was killed has left. template0: a restored database must not have objects of template1.
        opened.execute(sa.text(f"DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
        opened.execute(sa.text(f"CREATE DATABASE {draft} OWNER {owner} TEMPLATE template0"))
    target = url.set(database=f"{dump.database}_{_DRAFT}")
    whole = ("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction")
    postgres_run(settings, "pg_restore", target, *whole, str(folder / dump.file))


def _migrate(settings: Settings) -> None:
    """Migrate the restored database: the backup may be of an older release."""
    url = sa.make_url(settings.require_database_url())
    draft = url.set(database=f"{url.database}_{_DRAFT}").render_as_string(hide_password=False)
    with open_engine(draft) as engine:
        migrate(engine, schema=settings.schema_name)


def _exchange(engine: sa.Engine, names: Sequence[str], stamp: str) -> list[str]:
    """Give every restored database the name of the present one, whose clients are disconnected."""
    before = [f"{name}_before_{stamp}" for name in names]
    with connection(engine) as opened, _disconnected(engine, names):
        # By hand, for the engine is in AUTOCOMMIT, which DROP and CREATE DATABASE need.
        opened.exec_driver_sql("BEGIN")
        for name, kept in zip(names, before, strict=True):
            opened.exec_driver_sql(f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(kept)}")
            opened.exec_driver_sql(f"ALTER DATABASE {_quoted(f'{name}_{_DRAFT}')} RENAME TO {_quoted(name)}")
        opened.exec_driver_sql("COMMIT")
    return before


@contextmanager
def _disconnected(engine: sa.Engine, names: Sequence[str]) -> Iterator[None]:
    """End the sessions in these databases, repeatedly while the block runs."""
    # RENAME locks new sessions out, then waits at most five seconds for the others to end.
    done = threading.Event()
    leave = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(:names)")

    def disconnect() -> None:
        with suppress(sa.exc.DBAPIError), engine.connect() as connection:
            while not done.wait(_LOOK_SECONDS):
                connection.execute(leave, {"names": list(names)})

    sender = threading.Thread(target=disconnect, name="restore-disconnects", daemon=True)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def _quoted(name: str | None) -> str:
    return '"{}"'.format((name or "").replace('"', '""'))


def listing(settings: Settings) -> str:
    """The backups, oldest first."""
    return f"backups: {', '.join(folder.name for folder in taken(settings)) or 'none'}"


def run(settings: Settings, *, name: str | None = None) -> str:
    """Restore a backup, and report where the replaced databases are."""
    restored, before = restore_backup(settings, SystemClock(), name)
    return f"backup {restored} is restored; the replaced databases are kept as {' and '.join(before)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m contender.cluster.restore", description=(__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("name", nargs="?", help="a folder of CONTENDER_HOME/backups; the newest, without it")
    parser.add_argument("--list", action="store_true", help="list the backups, and restore none")
    arguments = parser.parse_args(argv)
    work = listing if arguments.list else partial(run, name=arguments.name)
    return run_command("contender.cluster.restore", __doc__ or "", work, [])


if __name__ == "__main__":
    sys.exit(main())
