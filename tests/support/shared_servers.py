"""One Postgres and one MLflow for all workers of a test run: started by the first test that needs them, ended with it.

`python -m tests.support.shared_servers PID FOLDER` is the watchman of a run: when the process `PID` has ended, it ends
what still runs from the run's folder and removes the folder. So a run that was killed leaves nothing behind.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import fasteners
import psutil
import sqlalchemy as sa

from contender.servers.processes import Postgres, Process, free_port, start_mlflow, wait_for_mlflow
from core.config.settings import Settings
from core.files import write_atomically
from tests.support.paths import REPOSITORY

OPTIONS = {
    # What the server has taken then outlives all but the machine; tests of that have a server of their own.
    "fsync": "off",
    "full_page_writes": "off",
    # A worker's services hold dozens of connections, and all workers share the server.
    "max_connections": "400",
    # Each test makes and drops some thirty tables, whose dead catalogue rows would slow the later tests down.
    "autovacuum_naptime": "'5s'",
}

_KEPT: list[object] = []
"""Processes that outlive the test that started them: Python warns of one that is forgotten while it runs."""


@dataclass(frozen=True)
class Mlflow:
    """A real MLflow server, its process, and its home folder, in which the artifacts lie."""

    url: str
    process: Process
    home: Path


@dataclass(frozen=True)
class SharedServers:
    """The servers of one test run.

    Args:
        folder: The run's own folder, the same for all its workers; removed at the end of the run.
        controller: The process id of the run, whose end ends the servers.
    """

    folder: Path
    controller: int

    def postgres(self) -> Postgres:
        """The run's Postgres, which is started when nobody has needed it before."""
        server = Postgres(self.folder / "postgres" / "data")
        self.once("postgres", lambda: self._start_postgres(server))
        return server

    def mlflow(self) -> Mlflow:
        """The run's MLflow, on a database of its own in the run's Postgres; started when not needed before."""
        server = self.postgres()
        home = self.folder / "mlflow"
        port, pid = self.once("mlflow", lambda: _start_mlflow(home, server)).split()
        return Mlflow(f"http://127.0.0.1:{port}", Process("mlflow", int(pid), home / "logs" / "mlflow.log"), home)

    def once(self, name: str, make: Callable[[], str]) -> str:
        """A text that one worker makes, while the others wait for it."""
        made = self.folder / f"{name}.made"
        with fasteners.InterProcessLock(self.folder / f"{name}.lock"):
            if not made.exists():
                write_atomically(made, make().encode())
        return made.read_text()

    def _start_postgres(self, server: Postgres) -> str:
        watchman = subprocess.Popen(
            [sys.executable, "-m", "tests.support.shared_servers", str(self.controller), str(self.folder)],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _KEPT.append(watchman)
        engine = sa.create_engine(server.start(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for option, value in OPTIONS.items():
                connection.exec_driver_sql(f"ALTER SYSTEM SET {option} = {value}")
        engine.dispose()
        server.stop()  # the number of connections is read at the start only
        return server.start()


def _start_mlflow(home: Path, server: Postgres) -> str:
    port = free_port()
    process = start_mlflow(Settings(home=home), server.database("mlflow"), port)
    _KEPT.append(process)
    wait_for_mlflow(f"http://127.0.0.1:{port}", process)
    return f"{port} {process.pid}"


def end(folder: Path) -> None:
    """Ends every process that works in the run's folder: its Postgres servers, and what has its home there."""
    for pid, data in _processes_of(folder):
        if data is not None:
            Postgres(data).stop()
        else:
            Process("left over", pid, folder).stop(grace_seconds=5)


def _processes_of(folder: Path) -> list[tuple[int, Path | None]]:
    """The ids of those processes; of a Postgres server its data folder as well."""
    found: list[tuple[int, Path | None]] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            if process.name() == "postgres" and "-D" in words:
                data = Path(words[words.index("-D") + 1])
                if data.is_relative_to(folder):
                    found.append((process.pid, data))
            elif Path(process.environ().get("CONTENDER_HOME", "/")).is_relative_to(folder):
                found.append((process.pid, None))
    return found


def watch(controller: int, folder: Path) -> None:
    """Waits for the run to end, however it ends, and ends what it left behind."""
    with suppress(psutil.NoSuchProcess):
        run = psutil.Process(controller)
        while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)  # `wait` would look twenty-five times a second
    for _ in range(5):  # a worker of a killed run ends a little later, and may be starting something meanwhile
        end(folder)
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(2)


if __name__ == "__main__":
    watch(int(sys.argv[1]), Path(sys.argv[2]))
