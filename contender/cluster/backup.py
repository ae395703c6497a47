"""`python -m contender.cluster.backup`: dump both databases of a cluster, and keep the newest backups.

A backup is a folder CONTENDER_HOME/backups/INSTANT with a file a database (pg_dump's custom format) and `backup.json`,
which lists them with their digests. MLflow's artifacts are not in it; the models that have an alias are, because
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

KEPT = 14  # two weeks of daily backups
CONTENTS = "backup.json"


@dataclass(frozen=True)
class Dump:
    """One database of a backup: its file, the file's size in bytes, and its SHA-256."""

    database: str
    file: str
    size: int
    sha256: str


def folder_of(settings: Settings) -> Path:
    """The folder of an installation's backups."""
    return settings.home / "backups"


def urls(settings: Settings) -> list[sa.URL]:
    """Contender's database and MLflow's. Raises ConfigurationError when a URL is not set."""
    if not settings.mlflow_backend_url:
        raise ConfigurationError(
            "MLflow's database is not known: MLFLOW_BACKEND_STORE_URI is not set.", "`contender secrets` makes it."
        )
    return [sa.make_url(settings.require_database_url()), sa.make_url(settings.mlflow_backend_url)]


def take(settings: Settings, clock: Clock) -> Path:
    """Make a backup, whole or not at all, and remove all but the newest `KEPT`. Returns its folder.

    Each dump is of one instant; that of MLflow's database is a little later than Contender's.

    Raises:
        DatabaseUnreachableError: PostgreSQL does not answer.
        BusyError: another backup runs.
        ContenderError: a dump failed otherwise.

    """
    folder = folder_of(settings)
    made = folder / f"{clock.now():%Y-%m-%dT%H-%M-%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder):
        draft = folder / "draft"  # renamed when it is whole: a name with an instant is a whole backup
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir()
            dumps = [_dump(settings, url, draft) for url in urls(settings)]
            about = {"made_at": clock.now().isoformat(), "code": settings.code_version}
            (draft / CONTENTS).write_text(json.dumps({**about, "dumps": [asdict(dump) for dump in dumps]}, indent=2))
            if made.exists():
                raise BusyError(f"There is a backup {made.name} already.", "Take the next one in another second.")
            draft.rename(made)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        # Only now: a backup that fails removes no other.
        for old in [other for other in taken(settings) if other != made][: 1 - KEPT]:
            shutil.rmtree(old)
    return made


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Allow one backup into a folder at a time. Raises BusyError when there is another."""
    lock = InterProcessLock(folder / "lock")
    if not lock.acquire(blocking=False):
        lock.lockfile.close()  # fasteners leaves it open when it did not get the lock
        raise BusyError("Another backup runs.", "Wait until it is done; then there is a new one.")
    try:
        yield
    finally:
        lock.release()


def taken(settings: Settings) -> list[Path]:
    """The folders of the backups, oldest first."""
    return sorted(path.parent for path in folder_of(settings).glob(f"*Z/{CONTENTS}"))


def chosen(settings: Settings, name: str | None) -> tuple[Path, list[Dump]]:
    """A backup by its name (the newest, without one), and its dumps, whose digests are compared.

    Raises NotFoundError when there is no such backup, IntegrityError when a file is not what was written.
    """
    known = {path.name: path for path in taken(settings)}
    if not known or (name is not None and name not in known):
        listed = f"There are: {', '.join(known)}." if known else "Take one: python -m contender.cluster.backup"
        raise NotFoundError(f"There is no backup {name or 'at all'} in {folder_of(settings)}.", listed)
    folder = known[name or max(known)]
    dumps = [Dump(**dump) for dump in json.loads((folder / CONTENTS).read_text())["dumps"]]
    for dump in dumps:
        file = folder / dump.file
        if not file.exists() or _sha256(file) != dump.sha256:
            raise IntegrityError(f"{file} is not what was backed up.", "Take another backup; nothing was restored.")
    return folder, dumps


def address(url: sa.URL) -> str:
    """The URL of a database for PostgreSQL's own programs, without the password, which any process list would show.

    >>> address(sa.make_url("postgresql+psycopg2://contender:secret@postgres:5432/contender"))
    'postgresql://contender@postgres:5432/contender'
    """
    plain = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return plain.render_as_string()


def postgres_run(settings: Settings, program: str, url: sa.URL, *arguments: str) -> str:
    """Run a program of PostgreSQL against a database and return its output.

    Args:
        settings: pass on the environment.
        program: such as `pg_dump`.
        url: the database; its password goes into the environment.
        arguments: of the program.

    Raises:
        DatabaseUnreachableError: PostgreSQL does not answer.
        UnreachableError: the disk is full.
        ContenderError: the program failed otherwise.

    """
    done = subprocess.run(  # noqa: S603 (PostgreSQL's own)
        [binary(program), "--dbname", address(url), "--no-password", *arguments],
        capture_output=True,
        text=True,
        # Without the timeout libpq waits for minutes where nothing answers.
        env=child_environment(settings, {"PGPASSWORD": str(url.password or ""), "PGCONNECT_TIMEOUT": "5"}),
    )
    if done.returncode:
        output = " | ".join(done.stderr.strip().splitlines()[-3:])
        if "No space left on device" in output:
            raise UnreachableError("The disk of the backups is full.", "Enlarge it; earlier backups are unchanged.")
        if "connection to server" in output:
            raise DatabaseUnreachableError(f"PostgreSQL did not answer {program}: {output}.", "The job is tried again.")
        raise ContenderError(
            f"{program} of {url.database} ended with {done.returncode}: {output}", "Earlier backups are unchanged."
        )
    return done.stdout


def _dump(settings: Settings, url: sa.URL, folder: Path) -> Dump:
    file = folder / f"{url.database}.dump"
    # Without owners: it may be restored into an installation whose roles have other names.
    postgres_run(settings, "pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", "--file", str(file))
    return Dump(url.database or "", file.name, file.stat().st_size, _sha256(file))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def run(settings: Settings) -> str:
    """Take a backup, and report its size."""
    made = take(settings, SystemClock())
    size = sum(file.stat().st_size for file in made.iterdir())
    return f"backup {made.name}: {size / 1e6:.1f} MB; {len(taken(settings))} are kept"


if __name__ == "__main__":
    sys.exit(run_command("contender.cluster.backup", __doc__ or "", run))
