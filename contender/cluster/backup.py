"""`python -m contender.cluster.backup`: both databases of a cluster as files, taken whole or not at all; the newest
are kept.

A backup is a folder CONTENDER_HOME/backups/INSTANT with a file a database (pg_dump's custom format) and `backup.json`,
which says what is in it, with digests. MLflow's artifacts are not in it; the models that hold an alias are, for
Contender's database has a copy of them.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import sqlalchemy as sa
from fasteners import InterProcessLock

from contender.servers.postgres import binary
from core.config.settings import Settings, child_environment
from core.errors import (
    BusyError,
    ConfigurationError,
    ContenderError,
    DatabaseUnreachableError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from core.jobs.clock import Clock, SystemClock
from core.jobs.runner import run_command

KEPT = 14
CONTENTS = "backup.json"


@dataclass(frozen=True)
class Dump:
    """One database of a backup: its file, the file's size in bytes, and its SHA-256."""

    database: str
    file: str
    size: int
    sha256: str


def folder_of(settings: Settings) -> Path:
    """Where an installation's backups lie."""
    return settings.home / "backups"


def urls(settings: Settings) -> list[sa.URL]:
    """Contender's database and MLflow's. Raises ConfigurationError when one of them is not named."""
    if not settings.mlflow_backend_url:
        raise ConfigurationError(
            "MLflow's database is not known: MLFLOW_BACKEND_STORE_URI is not set.", "`contender secrets` makes it."
        )
    return [sa.make_url(settings.require_database_url()), sa.make_url(settings.mlflow_backend_url)]


def take(settings: Settings, clock: Clock) -> Path:
    """Makes a backup and returns its folder; removes all but the newest `KEPT`.

    Raises DatabaseUnreachableError when PostgreSQL does not answer, BusyError when another backup is at work, and
    ContenderError when a dump fails otherwise; then there is no new backup, and the older ones are as they were. Each
    database is dumped as it stood at one instant, MLflow's a little later than Contender's.
    """
    folder = folder_of(settings)
    place = folder / f"{clock.now():%Y-%m-%dT%H-%M-%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        draft = folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir()
            dumps = [_dump(settings, url, draft) for url in urls(settings)]
            made = {"made_at": clock.now().isoformat(), "code": settings.code_version}
            (draft / CONTENTS).write_text(json.dumps({**made, "dumps": [asdict(dump) for dump in dumps]}, indent=2))
            if place.exists():
                raise BusyError(f"There is a backup {place.name} already.", "Take the next one in another second.")
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for old in [other for other in taken(settings) if other != place][: 1 - KEPT]:
            shutil.rmtree(old)
    return place


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps other backups into this folder away. Raises BusyError when there is one."""
    lock = InterProcessLock(folder / "lock")
    if not lock.acquire(blocking=False):
        lock.lockfile.close()
        raise BusyError("Another backup is at work.", "Wait until it is done; then there is a new one.")
    try:
        yield
    finally:
        lock.release()


def taken(settings: Settings) -> list[Path]:
    """The backups there are, oldest first."""
    return sorted(path.parent for path in folder_of(settings).glob(f"*Z/{CONTENTS}"))


def chosen(settings: Settings, name: str | None) -> tuple[Path, list[Dump]]:
    """A backup by its name (the newest, without one) and what is in it, once its files have proved whole.

    Raises NotFoundError when there is none, IntegrityError when a file is not what was written.
    """
    there = {path.name: path for path in taken(settings)}
    if not there or (name is not None and name not in there):
        listed = f"There are: {', '.join(there)}." if there else "Take one: python -m contender.cluster.backup"
        raise NotFoundError(f"There is no backup {name or 'at all'} in {folder_of(settings)}.", listed)
    place = there[name or max(there)]
    dumps = [Dump(**dump) for dump in json.loads((place / CONTENTS).read_text())["dumps"]]
    for dump in dumps:
        file = place / dump.file
        if not file.exists() or _sha256(file) != dump.sha256:
            raise IntegrityError(f"{file} is not what was backed up.", "Take another backup; nothing was restored.")
    return place, dumps


def address(url: sa.URL) -> str:
    """A database as PostgreSQL's own programs take it, without the password, which any process list would show.

    >>> address(sa.make_url("postgresql+psycopg2://contender:secret@postgres:5432/contender"))
    'postgresql://contender@postgres:5432/contender'
    """
    plain = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return plain.render_as_string()


def postgres_run(settings: Settings, program: str, url: sa.URL, *arguments: str) -> str:
    """Runs a program of PostgreSQL against a database and returns what it printed; the password is not shown."""
    done = subprocess.run(  # noqa: S603 (PostgreSQL's own)
        [binary(program), "--dbname", address(url), "--no-password", *arguments],
        capture_output=True,
        text=True,
        env=child_environment(settings, {"PGPASSWORD": str(url.password or ""), "PGCONNECT_TIMEOUT": "5"}),
    )
    if done.returncode:
        told = " | ".join(done.stderr.strip().splitlines()[-3:])
        if "No space left on device" in told:
            raise UnreachableError(
                "The disk of the backups is full.", "Give it more room; earlier ones are as they were."
            )
        if "connection to server" in told:
            raise DatabaseUnreachableError(f"PostgreSQL did not answer {program}: {told}.", "It is tried again.")
        raise ContenderError(
            f"{program} of {url.database} ended with {done.returncode}: {told}", "Earlier backups are as they were."
        )
    return done.stdout


def _dump(settings: Settings, url: sa.URL, folder: Path) -> Dump:
    file = folder / f"{url.database}.dump"
    postgres_run(settings, "pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", "--file", str(file))
    return Dump(url.database or "", file.name, file.stat().st_size, _sha256(file))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(settings: Settings) -> str:
    """Takes a backup, and says how large it is."""
    place = take(settings, SystemClock())
    size = sum(file.stat().st_size for file in place.iterdir())
    return f"backup {place.name}: {size / 1e6:.1f} MB; {len(taken(settings))} are kept"


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.backup", __doc__ or "", run))
