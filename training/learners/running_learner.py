"""A learner kept at the head of its log, for the threads of one process: restored, caught up, asked."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from features.arrays import FeatureRow
from training.event_log import store as event_log
from training.event_log.events import Event
from training.event_log.store import LearnerKey
from training.learners import checkpoints
from training.learners.learner import GapError, Learner
from training.models.online import DEFAULT_SERIES

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection  # noqa: N812 (psycopg2 names its class so)


class LiveLearner:
    """One contender's learner on one log. Everything that touches the learner holds `lock`."""

    def __init__(self, engine: sa.Engine, key: LearnerKey, fresh: Callable[[], Learner]) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.is_fed = False
        """Whether a group is on its way into the log from here: whoever brings it comes up to it."""
        self._engine = engine
        self._fresh = fresh
        self._line = event_log.PinnedConnection(engine)
        self._checked = 0
        self._newest: Event | None = None
        self._restoring = threading.Lock()
        self._learner: Learner | None = None

    @property
    def learner(self) -> Learner:
        """The learner; restored from the newest checkpoint when it is first needed, once, while others wait."""
        if self._learner is None:
            with self._restoring:
                if self._learner is None:
                    self._learner = checkpoints.restore(self._engine, self.key, self._fresh)
        return self._learner

    @property
    def is_loaded(self) -> bool:
        """Whether the learner stands in memory."""
        return self._learner is not None

    @contextmanager
    def at_head(self) -> Iterator[Learner]:
        """The learner, caught up to what is committed now, for as long as the block runs."""
        with self.lock:
            self.catch_up()
            yield self.learner

    def follow(self, head: int | None) -> None:
        """Comes up to an event that somebody committed; None: to the newest there is."""
        if self.is_fed or (head is not None and self._learner is not None and self._learner.seq >= head):
            return
        with self.lock:
            if head is None:
                self.catch_up()
            else:
                self.read_up_to(head)

    @contextmanager
    def as_logged(self) -> Iterator[Learner]:
        """The learner as far as it has come, once it is known that the log holds what it has learned."""
        with self.lock:
            self._look()
            yield self.learner

    def catch_up(self) -> None:
        """Reads and applies what was committed since. Holds `lock`."""
        self.read_up_to(self._look())

    def _look(self) -> int:
        """The newest event of the log; a learner that is not of this log is let go."""
        with self._line.talk() as connection:
            head = event_log.head(connection, self.key.log)
            self._check_once(connection)
        if head < self.learner.seq:
            self._learner = None  # as in `check`
        return head

    def _check_once(self, connection: "Connection") -> None:
        if self._line.opened != self._checked:
            self.check(connection)
            self._checked = self._line.opened

    def check(self, connection: "Connection") -> None:
        """Lets the learner go when the log does not hold what it has learned. Holds `lock`.

        To be asked whenever a connection was opened anew, before anything else is done with it: the database may be
        another one than before, a backup that was put back and has gone on from there.
        """
        learner = self._learner
        if learner is None or not learner.seq:
            return
        found = event_log.read(connection, self.key, learner.seq - 1, learner.seq)
        is_known = self._newest is not None and self._newest.seq == learner.seq
        if not found or (is_known and not _is_same(found[0], self._newest)):
            self._learner = None
        else:
            self._newest = found[0]

    def read_up_to(self, head: int) -> None:
        """Reads and applies the events up to a number, in blocks. Holds `lock`."""
        if self._learner is not None and self._learner.seq < head:
            with self._line.talk() as connection:
                self._check_once(connection)
        learner = self.learner
        for events in event_log.blocks(self._line, self.key, learner.seq, head):
            self._apply(learner, events)

    def take(self, events: Sequence[Event]) -> None:
        """Applies events just committed; reads from the log when others came before them. Holds `lock`."""
        if not events:
            return
        learner = self.learner
        belongs_to_older = any(event.ref_seq is not None and event.ref_seq not in learner.said for event in events)
        if not belongs_to_older:
            with suppress(GapError):
                self._apply(learner, events)
        self.read_up_to(events[-1].seq)

    def said(self, places: Iterable[int | None]) -> Iterator[float | None]:
        """What was predicted at events with features, from memory or from the database; None at None. Holds `lock`."""
        held = self.learner.said
        for seq in places:
            if seq is None:
                yield None
            elif seq in held:
                yield held[seq]
            else:
                yield self._said_before(seq)

    def _said_before(self, seq: int) -> float | None:
        learner = self.learner
        if seq > learner.seq:
            self.read_up_to(seq)
            return learner.said.get(seq)
        return checkpoints.stored_prediction(self._engine, self.key, seq)

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """What the learner says of a row now; nothing is kept of it."""
        with self.lock:
            return self.learner.ask(features, series or DEFAULT_SERIES)

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        with self.lock:
            return self.learner.model.forecast(features, series or DEFAULT_SERIES, steps)

    def close(self) -> None:
        """Gives its connection back."""
        self._line.close()

    def _apply(self, learner: Learner, events: Sequence[Event]) -> None:
        """Applies events. A learner that failed in the middle of one is let go, and restored when it is next needed."""
        try:
            learner.apply(events, self._reread)
            self._newest = events[-1] if events else self._newest
        except GapError:
            raise
        except BaseException:
            self._learner = None
            raise

    def _reread(self, after: int, until: int) -> Iterator[Event]:
        line = event_log.PinnedConnection(self._engine)  # its own: the other one may be reading ahead
        try:
            yield from event_log.replay(line, self.key, after, until)
        finally:
            line.close()


def _is_same(one: Event, other: Event | None) -> bool:
    """Whether two events are the same but for what was said of them."""
    return other is not None and msgspec.structs.replace(one, said=None) == msgspec.structs.replace(other, said=None)
