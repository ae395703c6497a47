"""Group commit: the events that the requests of one process bring at the same time become one transaction."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

import msgspec
import sqlalchemy as sa

from training.event_log import store as event_log
from training.event_log.events import Appended, EventConflictError, NewEvent
from training.event_log.idempotency import AppendPlan
from training.learners.running_learner import RunningLearner

MOST_EVENTS = 5_000
"""Events of one group; the rest of those that wait make the next."""


class Ack(msgspec.Struct, frozen=True, gc=False):
    """A new event that is committed and learned: its number, and the prediction for its features.

    `prediction` is None where there was none yet, and for a label; `is_new` is False for what was sent before.
    """

    seq: int
    prediction: float | None
    is_new: bool


Answer = Ack | EventConflictError


def _held() -> threading.Lock:
    """A lock that is held: a thread that acquires it waits until another one releases it."""
    lock = threading.Lock()  # in place of a threading.Event, which costs ten times as much
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Ticket:
    events: Sequence[NewEvent]
    answers: list[Answer] = field(default_factory=list)
    failure: Exception | None = None
    done: threading.Lock = field(default_factory=_held)


_Committed = tuple[list[_Ticket], AppendPlan]


class GroupCommitter:
    """Appends to one log for the threads of one process, and keeps its learner at the log's head.

    Threads leave their events and sleep. One thread of its own takes all that wait and sends them to Postgres in one
    transaction; while Postgres works, it learns the group committed before, and wakes the threads that brought it.
    """

    # One thread commits and learns: two would each wait for the interpreter just when Postgres waits for work.

    def __init__(self, engine: sa.Engine, running: RunningLearner) -> None:
        self.running = running
        self._connection = event_log.PinnedConnection(engine)
        self._checked = 0
        self._waiting: SimpleQueue[_Ticket | None] = SimpleQueue()
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def submit(self, events: Sequence[NewEvent]) -> list[Answer]:
        """Commits the events, learns them, and answers each, in order.

        Raises:
            DatabaseUnreachableError: Postgres does not answer. The events may be in the log or not; sent again under
                the same ids they are appended once.

        """
        if not events:
            return []
        ticket = _Ticket(events)
        with self._mutex:
            # Under the mutex: otherwise `_is_released` could end the thread between this line and the next.
            self._waiting.put(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._thread.start()
        ticket.done.acquire()
        if ticket.failure is not None:
            raise ticket.failure
        return ticket.answers

    def close(self, seconds: float = 5.0) -> None:
        """Gives its connection and its threads back, once what waits is answered. A later `submit` starts them again.

        It waits at most `seconds` for that, since Postgres may not answer.
        """
        with self._mutex:
            self._is_closed = True
            thread = self._thread
            if thread is not None:
                # Wakes the thread, which may be waiting for a ticket that never comes.
                self._waiting.put(None)
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        committed: _Committed | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="group-commit-send") as sender:
            while not (self._is_closed and committed is None and self._is_released()):
                tickets = self._gather(is_patient=committed is None and not self._is_closed)
                # Before the COMMIT, whose notice would make the follower wait for the lock and read what is applied
                # here anyway.
                self.running.is_committing = True
                committed = self._go_on(sender, [ticket for ticket in tickets if ticket is not None], committed)
                self.running.is_committing = committed is not None

    def _gather(self, *, is_patient: bool) -> list[_Ticket | None]:
        """The tickets that wait, with None among them after `close`; with `is_patient` it waits for the first."""
        tickets: list[_Ticket | None] = []
        events = 0
        with suppress(Empty):
            while events < MOST_EVENTS:
                ticket = self._waiting.get(is_patient and not tickets)
                tickets.append(ticket)
                events += 0 if ticket is None else len(ticket.events)
        return tickets

    def _is_released(self) -> bool:
        """Whether nothing waits any more: then the connection is closed, and the next `submit` starts a thread."""
        with self._mutex:
            if not self._waiting.empty():
                return False
            try:
                self._connection.close()
            finally:
                self._thread = None
        return True

    def _go_on(
        self, sender: ThreadPoolExecutor, group: list[_Ticket], committed: _Committed | None
    ) -> _Committed | None:
        """Commits a group while the one before is learned."""
        plan = None
        try:
            if group:
                with self._connection.use() as connection:
                    if self._connection.opened != self._checked:  # another database, maybe: see `check`
                        with self.running.lock:
                            self.running.check(connection)
                        self._checked = self._connection.opened
                    commit = event_log.prepare(connection, self.running.key.log, _events(group))
                    if committed is None:
                        plan = commit()
                    else:
                        sent = _send(sender, commit)
                        self._learn(*committed)
                        committed = None
                        plan = sent.result()
        except Exception as failure:  # noqa: BLE001 (each thread that waits raises it itself)
            plan = None
            _fail(group, failure)
        if committed is not None:
            self._learn(*committed)
        return None if plan is None else (group, plan)

    def _learn(self, group: list[_Ticket], plan: AppendPlan) -> None:
        try:
            with self.running.lock:
                self.running.apply_committed(plan.events)
                predictions = self.running.predictions(
                    [answer.predicted_at for answer in plan.answers if isinstance(answer, Appended)]
                )
                answers: list[Answer] = [
                    Ack(answer.seq, next(predictions), answer.is_new) if isinstance(answer, Appended) else answer
                    for answer in plan.answers
                ]
        except Exception as failure:  # noqa: BLE001 (as above)
            _fail(group, failure)
            return
        begin = 0
        for ticket in group:
            ticket.answers = answers[begin : begin + len(ticket.events)]
            begin += len(ticket.events)
            ticket.done.release()


def _send(sender: ThreadPoolExecutor, commit: Callable[[], AppendPlan]) -> Future[AppendPlan]:
    """Starts a commit on another thread, and returns when that one waits for Postgres."""
    # Otherwise this thread would go on to learn, and hold the interpreter, before the other one has sent anything.
    begun = _held()

    def go() -> AppendPlan:
        begun.release()
        return commit()

    sent = sender.submit(go)
    begun.acquire()
    return sent


def _events(group: list[_Ticket]) -> list[NewEvent]:
    return [event for ticket in group for event in ticket.events]


def _fail(group: list[_Ticket], failure: Exception) -> None:
    for ticket in group:
        ticket.failure = failure
        ticket.done.release()
