"""The running learner of a champion: on its contender's newest version, the alias means the learner itself.

The learner follows the log of the task's series, so it is ahead of the version. An older or a pinned version answers
frozen, from its bundle; so does the newest one wherever the learner cannot be used, or is behind the version.
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
from serving.runtime.log_listener import LogFollower
from training.event_log import dataset_log
from training.event_log.store import LearnerKey
from training.learners.factory import learns, stored_learner_factory, stored_learner_key
from training.learners.running_learner import RunningLearner
from training.ledger import entries as ledger
from training.registry import versions
from training.registry.versions import Version

# A learner that cannot be used is tried again only then: a replay may take long.
_RETRY_SECONDS = 60.0


@dataclass(frozen=True)
class LogPosition:
    """The newest event that a version has learned, and its running learner.

    `version_seq` is None where it is not known, `learner_seq` 0 where no learner answers.
    """

    version: int
    version_seq: int | None = None
    learner_seq: int = 0
    learned_through: date | None = None


@dataclass(frozen=True)
class PollTrigger:
    """Follows a stored task's log by bringing the next poll forward; the learner belongs to the poller's thread."""

    wake: Callable[[], None]

    def follow(self, head: int | None) -> None:
        """Wakes the poller for a committed event; not for the listener's periodic look, since the poller looks too."""
        if head is not None:
            self.wake()


@dataclass(frozen=True)
class LearnerModel:
    """A running learner as a model of rows."""

    learner: RunningLearner
    feature_names: tuple[str, ...]

    def predict(self, rows: Floats) -> Floats:
        """The learner's predictions now; NaN where it has none."""
        named = [dict(zip(self.feature_names, row, strict=True)) for row in rows.tolist()]
        return np.array([self.learner.predict(features, None) for features in named], dtype=np.float64)


@dataclass
class ChampionLearner:
    """The learner that may answer for one task's champion. Used by one thread.

    `log_followers` takes a trigger for each log that a learner follows.
    """

    engine: sa.Engine
    task: Task
    log_followers: MutableMapping[str, LogFollower]
    wake: Callable[[], None]
    position: LogPosition | None = None
    _running: RunningLearner | None = field(default=None, init=False)
    _problem: DataRefusedError | None = field(default=None, init=False)
    _not_before: float = field(default=0.0, init=False)

    def look(self, version: Version) -> None:
        """Finds the position of the champion version, and brings its learner to the head of the log.

        Raises:
            UnreachableError: Postgres does not answer; `position` is what it was.
            DataRefusedError: the learner cannot be used; the version answers frozen.
        """
        if not self._learns(version):
            self.position = LogPosition(version.version)
            return
        whose = stored_learner_key(self.task, version.series, version.contender)
        frozen = LogPosition(version.version, self._seq(version, whose.log))
        if self._is_frozen(version):
            self.position = frozen
            return
        if self._problem is not None and monotonic() < self._not_before:
            self.position = frozen
            raise self._problem
        try:
            seq, through = self._follow(whose)
        except UnreachableError:
            raise  # says nothing about the learner: tried again at the next poll, and not only after the pause
        except Exception as error:
            # Broad, because an unpickled learner may raise anything, and what serves now must serve on.
            message = f"The learner of {whose.contender} on {whose.log} cannot be used: {error}"
            self._problem, self._not_before = DataRefusedError(message), monotonic() + _RETRY_SECONDS
            self._running, self.position = None, frozen
            raise self._problem from error
        self._problem = None
        # A learner may be behind the version after a restore of an older backup: the version then answers itself.
        is_ahead = through is not None and through >= version.trained_through
        self.position = replace(frozen, learner_seq=seq, learned_through=through) if is_ahead else frozen

    def answering(self, champion: Champion, latest: Latest) -> Champion:
        """The champion with the learner that answers for it on these data, or frozen."""
        position = self.position
        if position is None or position.version != champion.version.version:
            return replace(champion, learner=None, last_event_id=None)
        # The log may be ahead of the data for a moment: a learner that knows the label must not predict it.
        is_fair = position.learned_through is not None and position.learned_through <= latest.row.event_date
        if self._running is None or not is_fair or latest.series != champion.version.series:
            return replace(champion, learner=None, last_event_id=position.version_seq)
        learner = LearnerModel(self._running, champion.feature_names)
        return replace(champion, learner=learner, last_event_id=position.learner_seq)

    def reload(self) -> None:
        """Lets the next look restore the learner again."""
        self._running = self.position = self._problem = None

    def _learns(self, version: Version) -> bool:
        """Whether the version is of a contender that learns row by row, as it is declared now."""
        name = version.contender
        # A contender that is declared otherwise since then has another learner, which this version does not mean.
        is_declared = name in self.task.contenders and self.task.contender_hash(name) == version.contender_hash
        return is_declared and learns(self.task, name)

    def _is_frozen(self, version: Version) -> bool:
        """Whether the alias means the version itself: it is not the newest, or it is pinned."""
        newest = versions.newest(self.engine, self.task, version.series, version.contender)
        if newest is None or newest.version != version.version:
            return True
        alias = ledger.alias_states(self.engine, self.task.name).get(ledger.CHAMPION)
        return alias is not None and alias.pinned and alias.version == version.version

    def _follow(self, whose: LearnerKey) -> tuple[int, date | None]:
        """The newest event that the learner has learned, and its date, after it came to the head of its log."""
        if self._running is None or self._running.key != whose:
            self._running = RunningLearner(self.engine, whose, stored_learner_factory(self.task, whose.contender))
            self.log_followers[whose.log] = PollTrigger(self.wake)
        running = self._running
        try:
            running.follow(None)
        finally:
            running.close()  # the log moves once a day: its connection need not be held
        with running.lock:
            # The training job stores them; kept here as well they would grow with the log.
            running.learner.forget_predictions(running.learner.seq)
        seq = running.learner.seq
        # The date of an event costs a query at every poll, and the log moves once a session.
        if self.position is not None and seq and self.position.learner_seq == seq:
            return seq, self.position.learned_through
        return seq, dataset_log.date_of(self.engine, whose.log, seq)

    def _seq(self, version: Version, log: str) -> int | None:
        position = self.position
        if position is not None and position.version == version.version and position.version_seq is not None:
            return position.version_seq
        return dataset_log.seq_of(self.engine, log, version.trained_through)
