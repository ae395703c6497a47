"""Group commit: whatever the requests of one process bring at once goes into the log in one transaction."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from training import event_log
from training.events import Draft, EventConflictError
from training.live import LiveLearner
from training.placing import Placing

MOST_DRAFTS = 5_000
"""Drafts of one group: what waits beyond that makes the next."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A draft that is committed, learned, and answered: its number, and what was predicted at its features.

    `prediction` is None where there was none yet, and for a label; `is_new` is False for what was sent before.
    """

    seq: int
    prediction: float | None
    is_new: bool


Answer = Taken | EventConflictError


@dataclass(eq=False)
class _Ticket:
    drafts: Sequence[Draft]
    is_taken: bool = False
    answers: list[Answer] = field(default_factory=list)
    failure: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)


class Intake:
    """The way into one log for the threads of one process; its learner goes along.

    A thread that finds the turn free leads: it commits all drafts that wait, then learns them, in the log's order,
    while the next leader already commits.
    """

    def __init__(self, engine: sa.Engine, live: LiveLearner) -> None:
        self.live = live
        self._line = event_log.Line(engine)
        self._turn = threading.Lock()
        self._waiting: deque[_Ticket] = deque()

    def take(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Commits the drafts, learns them, and answers each, in order.

        Raises DatabaseUnreachableError when Postgres does not answer: then they may be in the log or not, and whoever
        sends them again under the same ids gets them in once.
        """
        ticket = _Ticket(drafts)
        self._waiting.append(ticket)
        with self._turn:
            group = [] if ticket.is_taken else self._gather()
            placing = self._commit(group)
            if placing is not None:
                self.live.lock.acquire()  # before the turn goes on: groups are learned in the order of their commits
        if placing is not None:
            try:
                self._learn(group, placing)
            finally:
                self.live.lock.release()
        for taken in group:
            taken.done.set()
        ticket.done.wait()
        if ticket.failure is not None:
            raise ticket.failure
        return ticket.answers

    def close(self) -> None:
        """Gives its connection back."""
        self._line.close()

    def _gather(self) -> list[_Ticket]:
        group: list[_Ticket] = []
        drafts = 0
        while self._waiting and drafts < MOST_DRAFTS:
            ticket = self._waiting.popleft()
            ticket.is_taken = True
            group.append(ticket)
            drafts += len(ticket.drafts)
        return group

    def _commit(self, group: list[_Ticket]) -> Placing | None:
        if not group:
            return None
        drafts = [draft for ticket in group for draft in ticket.drafts]
        try:
            with self._line.talk() as connection:
                return event_log.append(connection, self.live.key.log, drafts)
        except Exception as failure:  # noqa: BLE001 (each thread that waits is told, and raises it itself)
            for ticket in group:
                ticket.failure = failure
            return None

    def _learn(self, group: list[_Ticket], placing: Placing) -> None:
        try:
            self.live.take(placing.events)
            answers: list[Answer] = []
            for placed in placing.answers:
                if isinstance(placed, EventConflictError):
                    answers.append(placed)
                else:
                    said = None if placed.said_at is None else self.live.said(placed.said_at)
                    answers.append(Taken(placed.seq, said, placed.is_new))
        except Exception as failure:  # noqa: BLE001 (as above)
            for ticket in group:
                ticket.failure = failure
            return
        begin = 0
        for ticket in group:
            ticket.answers = answers[begin : begin + len(ticket.drafts)]
            begin += len(ticket.drafts)
