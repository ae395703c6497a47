"""Replicas of the API that are killed, a Postgres that is stopped, and writers who go on all the same."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from contender.servers.processes import Postgres, Process, free_port, spawn, tail
from core.config.settings import Settings
from tests.support.e2e.fire_load import Load, Request, Row

PATIENCE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 0.2
_CONNECTION_ERRORS = (OSError, http.client.HTTPException)


class Replica:
    """One API of one worker, with a port and a home of its own."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.port = free_port()
        self._settings = settings.model_copy(
            update={"home": settings.home / name, "api_port": self.port, "api_workers": 1}
        )
        self._process: Process | None = None
        self._is_ready = False

    def start(self) -> None:
        self._process = spawn(self.name, ["-m", "serving"], self._settings)

    def kill(self) -> None:
        """SIGKILL for the server and its worker at once."""
        process, self._process, self._is_ready = self._process, None, False
        if process is not None and process.child is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.child.wait()

    def is_ready(self) -> bool:
        """Whether it answers, asked until it does."""
        if not self._is_ready:
            assert self._process is not None
            assert self._process.alive(), f"{self.name} ended: {tail(self._process.log, 20)}"
            with suppress(*_CONNECTION_ERRORS):
                self._is_ready = self.ask("GET", "/health/ready")[0] == 200
        return self._is_ready

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request on a connection of its own: the status and what was told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return exchange(connection, method, path, body)
        finally:
            connection.close()


def exchange(connection: http.client.HTTPConnection, method: str, path: str, body: object) -> tuple[int, Any]:
    sent = None if body is None else json.dumps(body)
    connection.request(method, path, sent, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    return response.status, json.loads(content) if content[:1] in (b"{", b"[") else content


@contextmanager
def replicas(settings: Settings, count: int) -> Iterator[list[Replica]]:
    """So many replicas, ready; killed at the end."""
    fleet = [Replica(f"replica-{number}", settings) for number in range(count)]
    try:
        for replica in fleet:
            replica.start()
        wait_for_replicas(fleet, count)
        yield fleet
    finally:
        for replica in fleet:
            replica.kill()


def wait_for_replicas(fleet: list[Replica], count: int) -> None:
    wait_until(lambda: sum([replica.is_ready() for replica in fleet]) >= count, f"{count} replicas are ready")


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come true in time that {what}"
        time.sleep(0.05)


def stop_postgres(postgres: Postgres, how: Literal["fast", "immediate"]) -> None:
    """Shuts it down as `pg_ctl stop -m fast` or `-m immediate` does; the latter leaves a recovery to the next start."""
    process = psutil.Process(int((postgres.folder / "postmaster.pid").read_text().split()[0]))
    process.send_signal(signal.SIGINT if how == "fast" else signal.SIGQUIT)
    process.wait(30)


class Gate:
    """Counts what was acknowledged, and lets the writers go no further than it is told."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limit = 0.0
        self._failure: BaseException | None = None
        self.acknowledged = 0

    def open(self, limit: float) -> None:
        with self._changed:
            self._limit = max(limit, self._limit)
            self._changed.notify_all()

    def fail(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def enter(self) -> None:
        """Waits, as a writer, for one's turn to send."""
        self._wait(lambda: self.acknowledged < self._limit)

    def count(self, events: int) -> None:
        with self._changed:
            self.acknowledged += events
            self._changed.notify_all()

    def wait_for(self, events: int) -> None:
        """Waits until so many were acknowledged."""
        self._wait(lambda: self.acknowledged >= events)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: self._failure is not None or is_so(), 2 * PATIENCE_SECONDS)
            if self._failure is not None:
                raise RuntimeError("a writer failed") from self._failure
            assert came, "the writers stand still"


@dataclass
class Said:
    """What the writers were told. `sent_at` holds, by id and halves, the start of the answered attempt of a retry."""

    predictions: dict[str, list[float | None]] = field(default_factory=dict)
    sent_at: dict[tuple[str, frozenset[str]], float] = field(default_factory=dict)
    retries: Counter[str] = field(default_factory=Counter)


class Writer(threading.Thread):
    """Sends its queue in order, each request to the next replica, and again until it is answered."""

    def __init__(self, number: int, load: Load, fleet: list[Replica], gate: Gate) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.said = Said()
        self._queue = load.queues[number]
        self._gate = gate
        self._next = number
        self._lines = [http.client.HTTPConnection("127.0.0.1", replica.port, timeout=30) for replica in fleet]

    def run(self) -> None:
        try:
            for request in self._queue:
                self._gate.enter()
                if request.together is not None:
                    request.together.wait(2 * PATIENCE_SECONDS)
                self._send(request)
                self._gate.count(request.adds)
        except BaseException as failure:  # noqa: BLE001 (told to whoever waits)
            self._gate.fail(failure)
        finally:
            for line in self._lines:
                line.close()

    def _send(self, request: Request) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        is_retry, pause = False, 0.01
        while True:
            self._next = (self._next + 1) % len(self._lines)
            line = self._lines[self._next]
            began = time.time()
            try:
                status, told = exchange(line, "POST", request.path, request.body)
            except _CONNECTION_ERRORS as error:
                line.close()
                trouble: str = type(error).__name__
            else:
                if status == 200:
                    break
                assert status == 503, f"{request.path} was answered {status}: {told}"
                trouble = f"503 {told['type'].rsplit('/', 1)[-1]}"
            assert time.monotonic() < deadline, f"{request.path} found nobody to answer it: {trouble}"
            self.said.retries[trouble] += 1
            is_retry = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        self._note(request, told if request.is_list else [told], began if is_retry else None)

    def _note(self, request: Request, told: list[Row], began: float | None) -> None:
        assert len(told) == len(request.rows)
        for row, answer in zip(request.rows, told, strict=True):
            if "prediction" in answer:
                self.said.predictions.setdefault(row["id"], []).append(answer["prediction"])
            if began is not None and request.adds:
                self.said.sent_at[row["id"], frozenset(row) - {"id"}] = began


def gathered(writers: list[Writer]) -> Said:
    """What all of them were told."""
    said = Said()
    for writer in writers:
        said.retries.update(writer.said.retries)
        said.sent_at.update(writer.said.sent_at)
        for event_id, predictions in writer.said.predictions.items():
            said.predictions.setdefault(event_id, []).extend(predictions)
    return said


def write_task(folder: Path, declaration: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "live.yaml").write_text(declaration)
    return folder
