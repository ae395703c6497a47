"""The live learner of a champion: on the newest version of what learns row by row, the alias means the learner itself.

It follows the log of the task's series, so it is ahead of the version. An older or a pinned version answers frozen, as
its bundle is; so does the newest one wherever the learner cannot be used, or has not learned what the version has.
"""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field, replace
from datetime import date
from time import monotonic

import numpy as np
import sqlalchemy as sa

from core.config.tasks import Task
from core.errors import DataRefusedError, UnreachableError
from features.arrays import Floats
from serving.champion.predictor import Champion, Latest
from serving.runtime.log_listener import WatchedLog
from training.event_log import dataset_log
from training.event_log.store import LearnerKey
from training.learners.factory import learns, stored_learner_factory, stored_learner_key
from training.learners.running_learner import LiveLearner
from training.ledger import entries as ledger
from training.registry import versions
from training.registry.versions import Version

_RETRY_SECONDS = 60.0
"""A learner that cannot be used is tried again only then: a replay may take long."""


@dataclass(frozen=True)
class LogPosition:
    """Where a version stands in the log, `version_seq` (None: not known), and its live learner (0: there is none)."""

    version: int
    version_seq: int | None = None
    live_seq: int = 0
    learned_through: date | None = None


@dataclass(frozen=True)
class Waker:
    """What the log watch sees of a stored task's log: a notice of it brings the follower's next look forward."""

    wake: Callable[[], None]

    @property
    def live(self) -> "Waker":
        """Itself: it stands for the learner, which belongs to the follower's thread."""
        return self

    def follow(self, head: int | None) -> None:
        """Wakes; but not for the watch's own look, for the follower looks as well."""
        if head is not None:
            self.wake()


@dataclass(frozen=True)
class LiveModel:
    """A live learner as a model of rows."""

    live: LiveLearner
    feature_names: tuple[str, ...]

    def predict(self, rows: Floats) -> Floats:
        """What the learner says now; NaN where it has no prediction."""
        named = [dict(zip(self.feature_names, row, strict=True)) for row in rows.tolist()]
        return np.array([self.live.predict(features, None) for features in named], dtype=np.float64)


@dataclass
class LiveChampion:
    """Whoever answers for one task's champion. Used by one thread.

    `watched` takes a waker for each log that a learner follows.
    """

    engine: sa.Engine
    task: Task
    watched: MutableMapping[str, WatchedLog]
    wake: Callable[[], None]
    place: LogPosition | None = None
    _live: LiveLearner | None = field(default=None, init=False)
    _trouble: DataRefusedError | None = field(default=None, init=False)
    _not_before: float = field(default=0.0, init=False)

    def look(self, version: Version) -> None:
        """Finds the place of the version that is champion, and brings its learner to the head of the log.

        Raises UnreachableError when Postgres does not answer: then `place` is what it was. Raises DataRefusedError when
        the learner cannot be used: then the version is frozen.
        """
        if not self._learns(version):
            self.place = LogPosition(version.version)
            return
        whose = stored_learner_key(self.task, version.series, version.contender)
        frozen = LogPosition(version.version, self._seq(version, whose.log))
        if self._is_held(version):
            self.place = frozen
            return
        if self._trouble is not None and monotonic() < self._not_before:
            self.place = frozen
            raise self._trouble
        try:
            seq, through = self._follow(whose)
        except UnreachableError:
            raise
        except Exception as error:
            # Whatever an unpickled learner does, it must not reach those who are being served.
            problem = f"The learner of {whose.contender} on {whose.log} cannot be used: {error}"
            self._trouble, self._not_before = DataRefusedError(problem), monotonic() + _RETRY_SECONDS
            self._live, self.place = None, frozen
            raise self._trouble from error
        self._trouble = None
        is_ahead = through is not None and through >= version.trained_through
        self.place = replace(frozen, live_seq=seq, learned_through=through) if is_ahead else frozen

    def answering(self, champion: Champion, latest: Latest) -> Champion:
        """The champion with the learner that answers for it on these data, or frozen.

        A learner that has learned what the latest row is to predict does not answer: the data are about to follow.
        """
        place = self.place
        if place is None or place.version != champion.version.version:
            return replace(champion, live=None, last_event_id=None)
        is_fair = place.learned_through is not None and place.learned_through <= latest.row.event_date
        if self._live is None or not is_fair or latest.series != champion.version.series:
            return replace(champion, live=None, last_event_id=place.version_seq)
        live = LiveModel(self._live, champion.feature_names)
        return replace(champion, live=live, last_event_id=place.live_seq)

    def begin_anew(self) -> None:
        """Lets the next look restore the learner again."""
        self._live = self.place = self._trouble = None

    def _learns(self, version: Version) -> bool:
        """Whether the version is of a contender that learns row by row, as it is declared now."""
        name = version.contender
        is_declared = name in self.task.contenders and self.task.contender_hash(name) == version.contender_hash
        return is_declared and learns(self.task, name)

    def _is_held(self, version: Version) -> bool:
        """Whether the alias means this very version: it is not the newest, or a person has pinned it."""
        newest = versions.newest(self.engine, self.task, version.series, version.contender)
        if newest is None or newest.version != version.version:
            return True
        standing = ledger.standing(self.engine, self.task.name).get(ledger.CHAMPION)
        return standing is not None and standing.pinned and standing.version == version.version

    def _follow(self, whose: LearnerKey) -> tuple[int, date | None]:
        """The newest event that the learner has learned, and its date, once it is at the head of its log."""
        if self._live is None or self._live.key != whose:
            self._live = LiveLearner(self.engine, whose, stored_learner_factory(self.task, whose.contender))
            self.watched[whose.log] = Waker(self.wake)
        live = self._live
        try:
            live.follow(None)
        finally:
            live.close()  # the log moves once a day: its connection need not be held
        with live.lock:
            live.learner.forget_said(live.learner.seq)
        seq = live.learner.seq
        if self.place is not None and seq and self.place.live_seq == seq:
            return seq, self.place.learned_through
        return seq, dataset_log.date_of(self.engine, whose.log, seq)

    def _seq(self, version: Version, log: str) -> int | None:
        place = self.place
        if place is not None and place.version == version.version and place.version_seq is not None:
            return place.version_seq
        return dataset_log.seq_of(self.engine, log, version.trained_through)
