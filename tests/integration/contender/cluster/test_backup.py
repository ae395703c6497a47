"""Backups of both databases, and putting one back."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from contender.cluster import backup, restore
from contender.servers.processes import Postgres
from core.config.settings import Settings
from core.errors import BusyError, DatabaseUnreachableError, IntegrityError, NotFoundError
from core.jobs.clock import FixedClock

pytestmark = pytest.mark.slow

NIGHT = FixedClock(datetime(2026, 11, 20, 3, tzinfo=UTC))
DATABASES = ("kept", "kept_models")


def nights_later(count: int) -> FixedClock:
    return FixedClock(NIGHT.now() + timedelta(days=count))


def put(url: str, value: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE IF NOT EXISTS notes (value text)"))
        connection.execute(sa.text("INSERT INTO notes VALUES (:value)"), {"value": value})
    engine.dispose()


def notes(url: str) -> list[str]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        values = list(connection.execute(sa.text("SELECT value FROM notes ORDER BY value")).scalars())
    engine.dispose()
    return values


@pytest.fixture
def installation(postgres: Postgres, tmp_path: Path) -> Iterator[Settings]:
    """Two databases with a note each."""
    contender, models = (postgres.database(name) for name in DATABASES)
    put(contender, "first")
    put(models, "first")
    yield Settings(home=tmp_path, database_url=contender, mlflow_backend_url=models)
    engine = sa.create_engine(postgres.database("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        made = list(connection.execute(sa.text("SELECT datname FROM pg_database WHERE datname LIKE 'kept%'")).scalars())
        for name in made:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    engine.dispose()


def both(settings: Settings) -> list[list[str]]:
    return [notes(settings.database_url), notes(settings.mlflow_backend_url)]


def test_what_came_after_a_backup_is_gone_when_it_is_put_back_and_kept_under_another_name(
    installation: Settings, postgres: Postgres
) -> None:
    backup.take(installation, NIGHT)
    put(installation.database_url, "second")
    put(installation.mlflow_backend_url, "second")

    name, before = restore.restore_backup(installation, nights_later(1))

    assert name == "2026-11-20T03-00-00Z"
    assert both(installation) == [["first"], ["first"]]
    assert before == ["kept_before_20261121T030000Z", "kept_models_before_20261121T030000Z"]
    assert [notes(postgres.database(kept)) for kept in before] == [["first", "second"]] * 2


def test_clients_that_are_connected_are_sent_away_and_come_back_to_what_was_restored(installation: Settings) -> None:
    backup.take(installation, NIGHT)
    client = sa.create_engine(installation.database_url, pool_pre_ping=True)
    with client.connect() as connection:
        connection.execute(sa.text("INSERT INTO notes VALUES ('later')"))
        connection.commit()

    restore.restore_backup(installation, NIGHT)

    with client.connect() as connection:
        assert list(connection.execute(sa.text("SELECT value FROM notes")).scalars()) == ["first"]
    client.dispose()


def test_a_backup_that_is_not_whole_is_refused_and_nothing_changes(installation: Settings) -> None:
    place = backup.take(installation, NIGHT)
    put(installation.database_url, "second")
    file = place / "kept_models.dump"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(IntegrityError, match="is not what was backed up"):
        restore.restore_backup(installation, NIGHT)

    assert both(installation) == [["first", "second"], ["first"]]


def test_a_restore_that_fails_at_the_second_database_has_changed_neither(installation: Settings) -> None:
    place = backup.take(installation, NIGHT)
    put(installation.database_url, "second")
    file = place / "kept_models.dump"
    file.write_bytes(file.read_bytes()[:200])
    contents = json.loads((place / backup.CONTENTS).read_text())
    contents["dumps"][1]["sha256"] = backup._sha256(file)
    (place / backup.CONTENTS).write_text(json.dumps(contents))

    with pytest.raises(Exception, match="pg_restore of kept_models"):
        restore.restore_backup(installation, NIGHT)

    assert both(installation) == [["first", "second"], ["first"]]


def test_the_newest_backups_are_kept_and_one_that_died_half_way_is_none(installation: Settings) -> None:
    (installation.home / "backups" / "draft").mkdir(parents=True)
    (installation.home / "backups" / "draft" / "kept.dump").write_text("half")

    for night in range(backup.KEPT + 2):
        backup.take(installation, nights_later(night))

    names = [place.name for place in backup.taken(installation)]
    assert len(names) == backup.KEPT
    assert (names[0], names[-1]) == ("2026-11-22T03-00-00Z", "2026-12-05T03-00-00Z")
    assert not (installation.home / "backups" / "draft").exists()


def test_without_a_database_to_ask_it_is_tried_again_and_earlier_backups_stay(installation: Settings) -> None:
    backup.take(installation, NIGHT)
    away = installation.model_copy(update={"database_url": "postgresql+psycopg2://u:p@127.0.0.1:9/kept"})

    with pytest.raises(DatabaseUnreachableError):
        backup.take(away, nights_later(1))

    assert len(backup.taken(installation)) == 1


def test_a_backup_that_is_not_there_is_reported_with_those_that_are(installation: Settings) -> None:
    with pytest.raises(NotFoundError, match="no backup at all"):
        restore.restore_backup(installation, NIGHT)
    backup.take(installation, NIGHT)

    with pytest.raises(NotFoundError, match="2026-11-20T03-00-00Z"):
        restore.restore_backup(installation, NIGHT, "2026-01-01T00-00-00Z")


def test_while_one_is_at_work_another_is_tried_again_later(installation: Settings) -> None:
    backup.take(installation, NIGHT)
    script = "import sys; from pathlib import Path; from contender.cluster.backup import _only_one\n"
    script += "with _only_one(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", script, str(backup.folder_of(installation))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError):
            backup.take(installation, nights_later(1))

    engine = restore._superuser(installation, sa.make_url(installation.database_url))
    with restore._only_one(engine), pytest.raises(BusyError):
        restore.restore_backup(installation, NIGHT)
    engine.dispose()
    assert len(backup.taken(installation)) == 1
    assert restore.restore_backup(installation, NIGHT)[0] == "2026-11-20T03-00-00Z"


def test_a_new_backup_is_kept_though_the_clock_was_set_back(installation: Settings) -> None:
    for night in range(backup.KEPT):
        backup.take(installation, nights_later(night))

    made = backup.take(installation, nights_later(-100))

    assert made in backup.taken(installation)
    assert len(backup.taken(installation)) == backup.KEPT


def test_two_in_one_second_are_one_and_leave_no_draft(installation: Settings) -> None:
    backup.take(installation, NIGHT)

    with pytest.raises(BusyError, match="already"):
        backup.take(installation, NIGHT)

    assert sorted(path.name for path in backup.folder_of(installation).iterdir()) == ["2026-11-20T03-00-00Z", "lock"]


def test_clients_that_come_back_at_once_do_not_keep_a_restore_from_its_end(installation: Settings) -> None:
    backup.take(installation, NIGHT)
    put(installation.database_url, "second")
    done = threading.Event()

    def insist() -> None:
        while not done.is_set():
            with suppress(sa.exc.DBAPIError):
                notes(installation.database_url)

    clients = [threading.Thread(target=insist) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        restore.restore_backup(installation, NIGHT)
    finally:
        done.set()
        for client in clients:
            client.join()

    assert both(installation) == [["first"], ["first"]]


def test_a_backup_older_than_the_program_comes_back_with_the_tables_of_today(installation: Settings) -> None:
    """It is of a time before there were any tables."""
    backup.take(installation, NIGHT)

    restore.restore_backup(installation, NIGHT)

    engine = sa.create_engine(installation.database_url)
    tables = sa.inspect(engine).get_table_names()
    engine.dispose()
    assert {"alembic_version", "observations", "notes"} <= set(tables)


def test_which_backups_there_are_is_reported(installation: Settings) -> None:
    assert restore.listing(installation) == "backups: none"
    backup.take(installation, NIGHT)
    assert restore.listing(installation) == "backups: 2026-11-20T03-00-00Z"
