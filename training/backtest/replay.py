"""A learner and the events that follow it, whether they come from a log in Postgres or are made of a history."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from core.config.tasks import Task
from features.arrays import Days, History
from training.backtest.state import WalkState
from training.event_log import dataset_log
from training.event_log import store as event_log
from training.event_log.dataset_log import new_events
from training.event_log.events import Event, NewEvent
from training.learners import checkpoints
from training.learners.factory import stored_learner_factory, stored_learner_key, stored_model
from training.learners.learner import Learner


@dataclass(eq=False)
class LearnerReplay:
    """A learner that has learned the rows up to the target date `learned_through`, and the events after it.

    `days` are the target dates of those events, one each. `is_rebuilt`: the learner had to learn once more what a
    model had learned that cannot be used here.
    """

    learner: Learner
    learned_through: date | None
    days: Days
    events: Iterator[Event]
    is_rebuilt: bool = False

    def __post_init__(self) -> None:
        self._first = self.learner.seq

    def known_on(self, days: Days) -> npt.NDArray[np.int64]:
        """Of each day: how many of the events have a target date up to it."""
        return np.searchsorted(self.days, days, side="right")

    def index_of(self, days: Days) -> npt.NDArray[np.int64]:
        """Of each day: the index of the event with this target date; -1 where there is none."""
        index = np.searchsorted(self.days, days, side="left")
        return np.where(index < self.known_on(days), index, -1)

    def apply(self, count: int) -> None:
        """Lets the learner predict, score and learn the first `count` of the events, those it has not had yet."""
        self.learner.apply(islice(self.events, max(0, count - self.applied)), _never_paused)

    def prediction(self, index: int) -> float | None:
        """What the learner predicted at an event that was applied here."""
        return self.learner.predictions[self._first + 1 + index]

    def through(self, count: int) -> date | None:
        """The target date of the last row learned once `count` of the events are applied."""
        if not count:
            return self.learned_through
        day: date = self.days[count - 1].item()
        return day

    @property
    def applied(self) -> int:
        """How many of the events were applied."""
        return self.learner.seq - self._first


def replay_history(task: Task, contender: str, history: History, state: WalkState) -> LearnerReplay:
    """The learner that a state holds, followed by the history's own labelled rows: no database is read.

    Without its model the learner is rebuilt from the rows that it had learned.
    """
    learned = state.labels_learned(history)
    is_kept = state.model is not None
    learner = Learner.deserialize(state.model or b"") if is_kept else stored_learner_factory(task, contender)()
    # Names that are the very strings of the model: learners that are equal then have equal bytes.
    history = replace(history, feature_names=stored_model(learner).shape.features)
    if not is_kept:
        learner.apply(_numbered(0, new_events(history, None)[:learned]), _never_paused)
        learner.forget_predictions(learner.seq)
    events = _numbered(learner.seq, new_events(history, state.learned_through))
    return LearnerReplay(learner, state.learned_through, history.labelled_days[learned:], events)


def replay_log(
    engine: sa.Engine,
    connection: event_log.PinnedConnection,
    task: Task,
    series: str,
    contender: str,
    last: date | None,
    *,
    has_walked: bool,
) -> LearnerReplay:
    """The contender's newest checkpoint, and the events after it, read while they are applied.

    Args:
        engine: of the database with the checkpoints.
        connection: reads the events.
        task: declares the contender.
        series: the log's.
        contender: its name.
        last: target date of the last event wanted; None for no event.
        has_walked: whether the contender predicted rows before, maybe when there was no log yet.

    Raises:
        IntegrityError: the checkpoint cannot be used.

    """
    key = stored_learner_key(task, series, contender)
    stored = checkpoints.newest(engine, key)
    learner = checkpoints.restore(engine, key, stored_learner_factory(task, contender))
    days = dataset_log.dates(engine, key.log, max(1, learner.seq))
    through = days.pop(0) if learner.seq else None
    following = [day for day in days if last is not None and day <= last]
    events = event_log.replay(connection, key, learner.seq, learner.seq + len(following))
    is_rebuilt = has_walked if stored is None else stored.is_foreign
    return LearnerReplay(learner, through, np.array(following, dtype="datetime64[D]"), events, is_rebuilt)


def replay_appended(learner: Learner, learned_through: date | None, appended: Sequence[NewEvent]) -> LearnerReplay:
    """A learner that had learned the whole log, followed by the rows appended since: nothing is read."""
    days = np.array([row.event_id for row in appended], dtype="datetime64[D]")
    return LearnerReplay(learner, learned_through, days, _numbered(learner.seq, appended))


def _numbered(after: int, rows: Iterable[NewEvent]) -> Iterator[Event]:
    for seq, row in enumerate(rows, after + 1):
        yield Event(seq, row.kind, row.features, row.target)


def _never_paused(after: int, until: int) -> Iterable[Event]:  # noqa: ARG001
    """Learning is paused for pushed tasks only."""
    return ()
