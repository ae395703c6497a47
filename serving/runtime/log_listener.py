"""The thread of each worker that keeps learners at the head of their event logs: LISTEN, and a look every second."""

import select
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any, Protocol

import sqlalchemy as sa

from core.errors import ContenderError, DatabaseUnreachableError
from serving.runtime.periodic import LogOnce
from training.event_log import store as event_log

LOOK_SECONDS = 1.0
# How long notices are gathered: a thread that woke for each commit would take the processor from the commits.
GATHER_SECONDS = 0.02


class LogFollower(Protocol):
    """What follows an event log."""

    def follow(self, head: int | None) -> None:
        """Catches up to an event that was committed; None: to the newest there is."""
        ...


class LogListener:
    """Tells followers of committed events, whichever process appended them.

    Args:
        followers: by the names of their logs. The mappings are read live: followers may come and go.
    """

    def __init__(self, engine: sa.Engine, *followers: Mapping[str, LogFollower]) -> None:
        self._followers = followers
        # A connection of its own: LISTEN lasts as long as the session, and a pooled one would go on to other users with
        # it.
        self._line = event_log.PinnedConnection(engine)
        self._log_once = LogOnce()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-listener", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends the thread, within a look."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._line.use() as connection:
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001 (logged; a thread that died unseen would leave old models)
                cause = str(error) if isinstance(error, ContenderError) else repr(error)
                self._log_once.problem("log", "The event logs cannot be followed; the models serve on.", cause)
                self._stopped.wait(LOOK_SECONDS)
        self._line.close()

    def _listen(self, connection: Any) -> None:
        with connection.cursor() as cursor:
            # Channels belong to the whole database: with the schema's name two installations in one do not wake each
            # other.
            cursor.execute("SELECT quote_ident(current_schema() || '.events')")
            cursor.execute(f"LISTEN {cursor.fetchall()[0][0]}")
        # After LISTEN: an event committed before it gave no notice to this connection.
        self._follow_all()
        looked = monotonic()
        self._log_once.resolved("log", "The event logs are followed again.")
        while not self._stopped.is_set():
            readable, _, _ = select.select([connection], [], [], LOOK_SECONDS)
            # A look although notices come: a connection that a proxy has dropped silently brings none.
            if monotonic() - looked >= LOOK_SECONDS:
                self._follow_all()
                looked = monotonic()
            if not readable:
                continue
            self._stopped.wait(GATHER_SECONDS)
            connection.poll()
            # Of many notices about one log the last counts: a follower reads everything up to it.
            heads = dict(notice.payload.rsplit(" ", 1) for notice in connection.notifies)
            connection.notifies.clear()
            for log, head in heads.items():
                for followers in self._followers:
                    if log in followers:
                        self._follow(log, followers[log], int(head))

    def _follow_all(self) -> None:
        for followers in self._followers:
            # A copy: other threads add and replace followers meanwhile.
            for log, follower in list(followers.items()):
                self._follow(log, follower, None)

    def _follow(self, log: str, follower: LogFollower, head: int | None) -> None:
        try:
            follower.follow(head)
            self._log_once.resolved(f"learner/{log}", "The learner is up to date again.")
        # Ends the listening: `_run` begins again on another connection, with a LISTEN and a look at everything.
        except DatabaseUnreachableError:
            raise
        except ContenderError as error:
            self._log_once.problem(
                f"learner/{log}", "A learner cannot be used.", error.problem, remedy=error.remedy, task=log
            )
