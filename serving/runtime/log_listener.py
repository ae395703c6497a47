"""The thread of each worker that follows the event logs: it listens, and looks now and then all the same."""

import select
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

import sqlalchemy as sa

from core.errors import ContenderError, DatabaseUnreachableError
from serving.runtime.complaints import LogOnce
from training.event_log import store as event_log

LOOK_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""How long notices are gathered: a thread that woke for each commit would take the processor from those who commit."""


class Following(Protocol):
    """What comes up to an event when it is told to."""

    def follow(self, head: int | None) -> None:
        """Comes up to an event that somebody committed; None: to the newest there is."""
        ...


class WatchedLog(Protocol):
    """What has a learner that follows a log."""

    @property
    def live(self) -> Following:
        """The learner."""
        ...


class LogWatch:
    """Keeps every learner at the head of its log, whoever appends. `lives`: learners by the names of their logs."""

    def __init__(self, engine: sa.Engine, *lives: Mapping[str, WatchedLog]) -> None:
        self._lives = lives
        self._line = event_log.PinnedConnection(engine)
        self._complaints = LogOnce()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-watch", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends, within a look."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._line.talk() as connection:
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001 (told; a thread that died unseen would leave old models)
                cause = str(error) if isinstance(error, ContenderError) else repr(error)
                self._complaints.open("log", "The event logs cannot be followed; the models serve on.", cause)
                self._stopped.wait(LOOK_SECONDS)
        self._line.close()

    def _listen(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT quote_ident(current_schema() || '.events')")
            cursor.execute(f"LISTEN {cursor.fetchall()[0][0]}")
        self._look()
        looked = monotonic()
        self._complaints.close("log", "The event logs are followed again.")
        while not self._stopped.is_set():
            heard, _, _ = select.select([connection], [], [], LOOK_SECONDS)
            if monotonic() - looked >= LOOK_SECONDS:
                self._look()
                looked = monotonic()
            if not heard:
                continue
            self._stopped.wait(GATHER_SECONDS)
            connection.poll()
            heads = dict(notice.payload.rsplit(" ", 1) for notice in connection.notifies)
            connection.notifies.clear()
            for log, head in heads.items():
                for lives in self._lives:
                    if log in lives:
                        self._follow(log, lives[log], int(head))

    def _look(self) -> None:
        for lives in self._lives:
            for name, live in list(lives.items()):
                self._follow(name, live, None)

    def _follow(self, name: str, live: WatchedLog, head: int | None) -> None:
        """Brings a learner up to an event, or to the newest."""
        try:
            live.live.follow(head)
            self._complaints.close(f"learner/{name}", "The learner is up to date again.")
        except DatabaseUnreachableError:
            raise
        except ContenderError as error:
            self._complaints.open(
                f"learner/{name}", "A learner cannot be used.", error.problem, remedy=error.remedy, task=name
            )
