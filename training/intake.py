"""Group commit: whatever the requests of one process bring at once goes into the log in one transaction."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from training import event_log
from training.events import Draft, EventConflictError, Placed
from training.live import LiveLearner
from training.placing import Placing

MOST_DRAFTS = 5_000
"""Drafts of one group: what waits beyond that makes the next."""


class Taken(NamedTuple):
    """A draft that is committed, learned, and answered: its number, and what was predicted at its features.

    `prediction` is None where there was none yet, and for a label; `is_new` is False for what was sent before.
    """

    seq: int
    prediction: float | None
    is_new: bool


Answer = Taken | EventConflictError


def _held() -> threading.Lock:
    """A lock that is held: whoever acquires it waits until another thread releases it. An Event costs ten of them."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Ticket:
    drafts: Sequence[Draft]
    leads: bool = False
    answers: list[Answer] = field(default_factory=list)
    failure: Exception | None = None
    called: threading.Lock = field(default_factory=_held)


class Intake:
    """The way into one log for the threads of one process; its learner goes along.

    A thread that finds nobody at it leads: it commits all drafts that wait, calls the next leader, and learns what it
    has committed while that one commits. The others sleep until they are called, to lead or to go with their answers.
    """

    def __init__(self, engine: sa.Engine, live: LiveLearner) -> None:
        self.live = live
        self._line = event_log.Line(engine)
        self._mutex = threading.Lock()
        self._waiting: deque[_Ticket] = deque()
        self._is_led = False

    def take(self, drafts: Sequence[Draft]) -> list[Answer]:
        """Commits the drafts, learns them, and answers each, in order.

        Raises DatabaseUnreachableError when Postgres does not answer: then they may be in the log or not, and whoever
        sends them again under the same ids gets them in once.
        """
        ticket = _Ticket(drafts)
        with self._mutex:
            self._waiting.append(ticket)
            if not self._is_led:
                self._is_led = self.live.is_fed = ticket.leads = True
        if not ticket.leads:
            ticket.called.acquire()
        if ticket.leads:
            self._lead(ticket)
        if ticket.failure is not None:
            raise ticket.failure
        return ticket.answers

    def _lead(self, leader: _Ticket) -> None:
        group = self._gather()
        placing = None
        try:
            placing = self._commit(group)
            self.live.lock.acquire()  # before the next leader is called: groups are learned in the order of commits
        finally:
            self._call_next()
        try:
            if placing is not None:
                self._learn(group, placing)
        finally:
            self.live.lock.release()
            for ticket in group:
                if ticket is not leader:
                    ticket.called.release()

    def _call_next(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].called.release()
            else:
                self._is_led = self.live.is_fed = False

    def close(self) -> None:
        """Gives its connection back."""
        self._line.close()

    def _gather(self) -> list[_Ticket]:
        """What waits, the leader's own first."""
        group: list[_Ticket] = []
        drafts = 0
        with self._mutex:
            while self._waiting and drafts < MOST_DRAFTS:
                group.append(self._waiting.popleft())
                drafts += len(group[-1].drafts)
        return group

    def _commit(self, group: list[_Ticket]) -> Placing | None:
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
            said = self.live.said([placed.said_at for placed in placing.answers if isinstance(placed, Placed)])
            answers: list[Answer] = [
                Taken(placed.seq, next(said), placed.is_new) if isinstance(placed, Placed) else placed
                for placed in placing.answers
            ]
        except Exception as failure:  # noqa: BLE001 (as above)
            for ticket in group:
                ticket.failure = failure
            return
        begin = 0
        for ticket in group:
            ticket.answers = answers[begin : begin + len(ticket.drafts)]
            begin += len(ticket.drafts)
