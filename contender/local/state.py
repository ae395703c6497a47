"""What `contender up` writes down about the services it started, so that other commands find and stop them."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from contender.servers.processes import Process, session
from core.config.settings import SERVICES_FILE, Settings, read_services, unreadable_services


@dataclass(frozen=True)
class Running:
    """One started process, told apart from a later one with the same id by its start time (seconds since the epoch)."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> "Running":
        """The process that has this id now."""
        return cls(pid, psutil.Process(pid).create_time())

    def left(self) -> bool:
        """Whether anything of it runs: the process itself, or children that outlived it."""
        if self.alive():
            return True
        return not psutil.pid_exists(self.pid) and bool(session(self.pid))

    def alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


SUPERVISOR = "supervisor"
"""The `contender up` in the foreground, among the processes."""
_URL = "_url"


@dataclass(frozen=True)
class Stack:
    """The embedded stack as it stands on disk in `home/services.json`; addresses and processes by a service's name."""

    database_url: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    processes: Mapping[str, Running] = field(default_factory=dict)

    def runs(self, name: str) -> bool:
        """Whether a service is at work."""
        return name in self.processes and self.processes[name].alive()

    def with_process(self, name: str, running: Running | None) -> "Stack":
        """The stack with this process under the name, or with none."""
        others = {known: process for known, process in self.processes.items() if known != name}
        return replace(self, processes=others if running is None else {**others, name: running})


def start(settings: Settings, stack: Stack, name: str, begin: Callable[[], Process]) -> tuple[Process, Stack]:
    """Starts a service and writes it down, both or neither: whoever stops the stack knows of it."""
    with _signals_put_off():
        process = begin()
        try:
            stack = stack.with_process(name, Running.of(process.pid))
            write(settings, stack)
        except BaseException:
            process.stop()
            raise
    return process, stack


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """What Ctrl-C and SIGTERM would have done inside they do at its end. For the main thread; no child inherits it."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def write(settings: Settings, stack: Stack) -> None:
    """Replaces the file in one step: a reader sees the old stack or the new one."""
    path = settings.home / SERVICES_FILE
    document: dict[str, Any] = {"database_url": stack.database_url}
    document |= {f"{name}{_URL}": url for name, url in stack.urls.items()}
    document |= {name: asdict(running) for name, running in stack.processes.items()}
    draft = path.with_suffix(f".{os.getpid()}")
    with draft.open("w") as file:
        json.dump(document, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read(settings: Settings) -> Stack | None:
    """The stack that was written down last, running or not; None when none is."""
    path: Path = settings.home / SERVICES_FILE
    if not path.exists():
        return None
    known = read_services(settings.home)
    try:
        database_url = known.pop(f"database{_URL}")
        urls = {name.removesuffix(_URL): url for name, url in known.items() if name.endswith(_URL)}
        processes = {name: Running(**told) for name, told in known.items() if not name.endswith(_URL) and told}
    except (KeyError, TypeError):
        raise unreadable_services(path) from None
    return Stack(database_url, urls, processes)


def forget(settings: Settings) -> None:
    """Removes the file: nothing runs any more."""
    (settings.home / SERVICES_FILE).unlink(missing_ok=True)
