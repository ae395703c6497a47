"""A learner kept at the head of its log, shared by the threads of one process."""

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


class RunningLearner:
    """One contender's learner on one log. Everything that reads or changes the learner holds `lock`."""

    def __init__(self, engine: sa.Engine, key: LearnerKey, make_learner: Callable[[], Learner]) -> None:
        self.key = key
        self.lock = threading.Lock()
        self.is_committing = False
        """Whether a group of this process is on its way into the log: its committer applies it, no follower has to."""
        self._engine = engine
        self._make_learner = make_learner
        self._connection = event_log.PinnedConnection(engine)
        self._checked = 0
        self._newest: Event | None = None
        self._restoring = threading.Lock()
        self._learner: Learner | None = None

    @property
    def learner(self) -> Learner:
        """The learner; restored from the newest checkpoint when it is first needed."""
        if self._learner is None:
            with self._restoring:  # one thread restores, the others wait for it
                if self._learner is None:
                    self._learner = checkpoints.restore(self._engine, self.key, self._make_learner)
        return self._learner

    @property
    def is_loaded(self) -> bool:
        """Whether the learner is in memory."""
        return self._learner is not None

    @contextmanager
    def at_head(self) -> Iterator[Learner]:
        """The learner, caught up to what is committed now, for as long as the block runs."""
        with self.lock:
            self.catch_up()
            yield self.learner

    def follow(self, head: int | None) -> None:
        """Applies what was committed up to the event `head`; None: up to the newest there is."""
        # Read without the lock: a number that is too old costs one look more, and no wait for a commit.
        if self.is_committing or (head is not None and self._learner is not None and self._learner.seq >= head):
            return
        with self.lock:
            if head is None:
                self.catch_up()
            else:
                self.read_up_to(head)

    @contextmanager
    def verified(self) -> Iterator[Learner]:
        """The learner as it is, once it is known that the log has what it learned, for as long as the block runs."""
        with self.lock:
            self._head()
            yield self.learner

    def catch_up(self) -> None:
        """Reads and applies what was committed since. Holds `lock`."""
        self.read_up_to(self._head())

    def _head(self) -> int:
        """The number of the newest event; a learner that is not of this log is dropped."""
        with self._connection.use() as connection:
            head = event_log.head(connection, self.key.log)
            self._check_once(connection)
        if head < self.learner.seq:
            self._learner = None  # as in `check`
        return head

    def _check_once(self, connection: "Connection") -> None:
        if self._connection.opened != self._checked:
            self.check(connection)
            self._checked = self._connection.opened

    def check(self, connection: "Connection") -> None:
        """Drops the learner when the log does not hold what it has learned. Holds `lock`.

        To be called with each newly opened connection before it is used for anything else.
        """
        # The database may be another one than before: a backup that was restored, and has gone on from there.
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
            with self._connection.use() as connection:
                self._check_once(connection)
        learner = self.learner
        for events in event_log.blocks(self._connection, self.key, learner.seq, head):
            self._apply(learner, events)

    def apply_committed(self, events: Sequence[Event]) -> None:
        """Applies events just committed; reads the log when another process committed before them. Holds `lock`."""
        if not events:
            return
        learner = self.learner
        belongs_to_older = any(
            event.ref_seq is not None and event.ref_seq not in learner.predictions for event in events
        )
        # The prediction that a late label is scored with has left the memory: the log's read brings it along.
        if not belongs_to_older:
            with suppress(GapError):
                self._apply(learner, events)
        self.read_up_to(events[-1].seq)

    def predictions(self, seqs: Iterable[int | None]) -> Iterator[float | None]:
        """The predictions of events with features, from memory or the database; None for None. Holds `lock`."""
        held = self.learner.predictions
        for seq in seqs:
            if seq is None:
                yield None
            elif seq in held:
                yield held[seq]
            else:
                yield self._earlier_prediction(seq)

    def _earlier_prediction(self, seq: int) -> float | None:
        learner = self.learner
        if seq > learner.seq:
            self.read_up_to(seq)
            return learner.predictions.get(seq)
        return checkpoints.stored_prediction(self._engine, self.key, seq)

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """The learner's prediction of a row now; nothing is kept of it."""
        with self.lock:
            return self.learner.predict(features, series or DEFAULT_SERIES)

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        with self.lock:
            return self.learner.model.forecast(features, series or DEFAULT_SERIES, steps)

    def close(self) -> None:
        """Gives its connection back."""
        self._connection.close()

    def _apply(self, learner: Learner, events: Sequence[Event]) -> None:
        """Applies events."""
        try:
            learner.apply(events, self._reread)
            self._newest = events[-1] if events else self._newest
        # Raised between two events: the learner is whole.
        except GapError:
            raise
        except BaseException:
            self._learner = None  # it may have learned half an event: it is restored when it is next needed
            raise

    def _reread(self, after: int, until: int) -> Iterator[Event]:
        connection = event_log.PinnedConnection(self._engine)  # its own: the other one may be reading ahead
        try:
            yield from event_log.replay(connection, self.key, after, until)
        finally:
            connection.close()


def _is_same(one: Event, other: Event | None) -> bool:
    """Whether two events are equal, apart from what was predicted at them."""
    if other is None:
        return False
    # A read from the database brings the stored prediction along, an event committed here does not.
    return msgspec.structs.replace(one, predicted=None) == msgspec.structs.replace(other, predicted=None)
