"""The record of the services that `contender up` started, by which other commands find and stop them."""

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from contender.servers.processes import Process, session
from core.config.settings import SERVICES_FILE, Settings, read_services, unreadable_services
from core.files import write_atomically

_SAME_START_SECONDS = 1  # the clock of the system may be adjusted, by which start times move
SUPERVISOR = "supervisor"
"""The name of a `contender up` in the foreground among the processes."""
_URL = "_url"


@dataclass(frozen=True)
class Running:
    """A started process: its id, and its start time in seconds since the epoch.

    The start time tells it from a later process to which the system gave the same id.
    """

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Running":
        """The process that has this id now."""
        return cls(pid, psutil.Process(pid).create_time())

    def has_survivors(self) -> bool:
        """Whether the process itself runs, or children that outlived it."""
        if self.alive():
            return True
        return not psutil.pid_exists(self.pid) and bool(session(self.pid))

    def alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            # The system gives the id of an ended process to another one.
            is_same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Stack:
    """The content of `home/services.json`: addresses and processes by the name of a service."""

    database_url: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    processes: Mapping[str, Running] = field(default_factory=dict)

    def runs(self, name: str) -> bool:
        """Whether a service runs."""
        return name in self.processes and self.processes[name].alive()

    def with_process(self, name: str, running: Running | None) -> "Stack":
        """A copy with this process under the name, or with none."""
        others = {known: process for known, process in self.processes.items() if known != name}
        return replace(self, processes=others if running is None else {**others, name: running})


def start(settings: Settings, stack: Stack, name: str, begin: Callable[[], Process]) -> tuple[Process, Stack]:
    """Start a service and record it, or do neither.

    Args:
        settings: name the home in which the record is kept.
        stack: the record so far.
        name: of the service.
        begin: starts its process.

    Returns:
        The process, and the new record.

    """
    # A signal between the two would leave a process that `contender down` cannot find.
    with _signals_deferred():
        process = begin()
        try:
            stack = stack.with_process(name, Running.of(process.pid))
            write(settings, stack)
        except BaseException:
            process.stop()
            raise
    return process, stack


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM at the end of the block. For the main thread only, as Python's handlers are.

    They are caught rather than blocked: a mask would be inherited by the child, which then could not be stopped.
    """
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def write(settings: Settings, stack: Stack) -> None:
    """Replace the record in one step."""
    document: dict[str, Any] = {"database_url": stack.database_url}
    document |= {f"{name}{_URL}": url for name, url in stack.urls.items()}
    document |= {name: asdict(running) for name, running in stack.processes.items()}
    write_atomically(settings.home / SERVICES_FILE, json.dumps(document, indent=2))


def read(settings: Settings) -> Stack | None:
    """The record, whether or not its processes still run; None when there is none.

    Raises ConfigurationError when the file is not one that `write` made.
    """
    path: Path = settings.home / SERVICES_FILE
    if not path.exists():
        return None
    known = read_services(settings.home)
    try:
        database_url = known.pop(f"database{_URL}")
        urls = {name.removesuffix(_URL): url for name, url in known.items() if name.endswith(_URL)}
        # Earlier releases wrote null for a service that did not run.
        processes = {name: Running(**entry) for name, entry in known.items() if not name.endswith(_URL) and entry}
    except (KeyError, TypeError):
        raise unreadable_services(path) from None
    return Stack(database_url, urls, processes)


def forget(settings: Settings) -> None:
    """Remove the record: nothing runs any more."""
    (settings.home / SERVICES_FILE).unlink(missing_ok=True)
