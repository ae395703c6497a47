"""Group commit: whatever the requests of one process bring at once goes into the log in one transaction."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import msgspec
import sqlalchemy as sa

from training.event_log import store as event_log
from training.event_log.events import EventConflictError, NewEvent, Placed
from training.event_log.idempotency import Placing
from training.learners.running_learner import LiveLearner

MOST_DRAFTS = 5_000
"""Drafts of one group: what waits beyond that makes the next."""


class Ack(msgspec.Struct, frozen=True, gc=False):
    """A draft that is committed, learned, and answered: its number, and what was predicted at its features.

    `prediction` is None where there was none yet, and for a label; `is_new` is False for what was sent before.
    """

    seq: int
    prediction: float | None
    is_new: bool


Answer = Ack | EventConflictError


def _held() -> threading.Lock:
    """A lock that is held: whoever acquires it waits until another thread releases it. An Event costs ten of them."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Ticket:
    drafts: Sequence[NewEvent]
    answers: list[Answer] = field(default_factory=list)
    failure: Exception | None = None
    called: threading.Lock = field(default_factory=_held)


_Committed = tuple[list[_Ticket], Placing]


class GroupCommitter:
    """The way into one log for the threads of one process; its learner goes along.

    They leave their drafts and sleep. One thread takes all that wait, sends them to Postgres in one transaction, and
    while Postgres is at it learns the group that was committed before, and wakes those who brought it. The same thread
    does both, for with two of them each would wait for the interpreter just when Postgres waits for work.
    """

    def __init__(self, engine: sa.Engine, live: LiveLearner) -> None:
        self.live = live
        self._line = event_log.PinnedConnection(engine)
        self._checked = 0
        self._waiting: SimpleQueue[_Ticket | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def take(self, drafts: Sequence[NewEvent]) -> list[Answer]:
        """Commits the drafts, learns them, and answers each, in order.

        Raises DatabaseUnreachableError when Postgres does not answer: then they may be in the log or not, and whoever
        sends them again under the same ids gets them in once.
        """
        if not drafts:
            return []
        ticket = _Ticket(drafts)
        with self._mutex:
            self._waiting.put(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
                self._thread.start()
        ticket.called.acquire()
        if ticket.failure is not None:
            raise ticket.failure
        return ticket.answers

    def close(self, seconds: float = 5.0) -> None:
        """Gives its connection and its threads back, once what waits is answered. A later `take` borrows them.

        It waits at most `seconds` for that: Postgres may be silent.
        """
        with self._mutex:
            self._is_closed = True
            thread = self._thread
            if thread is not None:
                self._waiting.put(None)
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        committed: _Committed | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="intake-commit") as sender:
            while not (self._is_closed and committed is None and self._is_released()):
                tickets = self._gather(is_patient=committed is None and not self._is_closed)
                self.live.is_fed = True
                committed = self._go_on(sender, [ticket for ticket in tickets if ticket is not None], committed)
                self.live.is_fed = committed is not None

    def _gather(self, *, is_patient: bool) -> list[_Ticket | None]:
        """What waits, None among it where somebody closes. The patient wait until something does."""
        tickets: list[_Ticket | None] = []
        drafts = 0
        with suppress(Empty):
            while drafts < MOST_DRAFTS:
                ticket = self._waiting.get(is_patient and not tickets)
                tickets.append(ticket)
                drafts += 0 if ticket is None else len(ticket.drafts)
        return tickets

    def _is_released(self) -> bool:
        """Whether nothing waits any more: then the next `take` has a thread of its own."""
        with self._mutex:
            if not self._waiting.empty():
                return False
            try:
                self._line.close()
            finally:
                self._thread = None
        return True

    def _go_on(
        self, sender: ThreadPoolExecutor, group: list[_Ticket], committed: _Committed | None
    ) -> _Committed | None:
        """Commits a group while the one before is learned."""
        placing = None
        try:
            if group:
                with self._line.talk() as connection:
                    if self._line.opened != self._checked:
                        with self.live.lock:
                            self.live.check(connection)
                        self._checked = self._line.opened
                    commit = event_log.prepare(connection, self.live.key.log, _drafts(group))
                    if committed is None:
                        placing = commit()
                    else:
                        sent = _send(sender, commit)
                        self._learn(*committed)
                        committed = None
                        placing = sent.result()
        except Exception as failure:  # noqa: BLE001 (each thread that waits is told, and raises it itself)
            placing = None
            _fail(group, failure)
        if committed is not None:
            self._learn(*committed)
        return None if placing is None else (group, placing)

    def _learn(self, group: list[_Ticket], placing: Placing) -> None:
        try:
            with self.live.lock:
                self.live.take(placing.events)
                said = self.live.said([placed.said_at for placed in placing.answers if isinstance(placed, Placed)])
                answers: list[Answer] = [
                    Ack(placed.seq, next(said), placed.is_new) if isinstance(placed, Placed) else placed
                    for placed in placing.answers
                ]
        except Exception as failure:  # noqa: BLE001 (as above)
            _fail(group, failure)
            return
        begin = 0
        for ticket in group:
            ticket.answers = answers[begin : begin + len(ticket.drafts)]
            begin += len(ticket.drafts)
            ticket.called.release()


def _send(sender: ThreadPoolExecutor, commit: Callable[[], Placing]) -> Future[Placing]:
    """Starts a commit on another thread, and returns when that one waits for Postgres."""
    begun = _held()

    def go() -> Placing:
        begun.release()
        return commit()

    sent = sender.submit(go)
    begun.acquire()
    return sent


def _drafts(group: list[_Ticket]) -> list[NewEvent]:
    return [draft for ticket in group for draft in ticket.drafts]


def _fail(group: list[_Ticket], failure: Exception) -> None:
    for ticket in group:
        ticket.failure = failure
        ticket.called.release()
