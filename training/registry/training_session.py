"""What a replay holds of a task's contenders from session to session, so that a session costs that session's rows.

Predictions, labels and the event log are stored each session. The states of the walks and the learners are held here,
and stored when `is_due`. A process that ends before that continues from older states: it makes again the predictions
that are stored, and stores those that are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from core.config.tasks import Task
from training.backtest.replay import LearnerReplay, replay_appended
from training.backtest.state import WalkState
from training.backtest.walk_forward import Walk
from training.evaluation import outcomes
from training.event_log.events import NewEvent
from training.learners.learner import Learner
from training.registry.versions import Version

if TYPE_CHECKING:
    from features.dataset import Dataset

# Sessions between two times that the states of the walks are stored: with four batch models they are 300 kB.
STORE_EVERY = 63


@dataclass(eq=False)
class TrainingSession:
    """The contenders of one task on one series, after the last session.

    `labels` are those recorded, `newest` the newest version of each contender that has one. `holders` are the
    contenders that hold an alias: only they get later versions, while each contender gets a first one.
    """

    states: dict[str, WalkState | None] = field(default_factory=dict)
    learners: dict[str, Learner] = field(default_factory=dict)
    walks: dict[str, Walk] = field(default_factory=dict)
    labels: pl.DataFrame | None = None
    newest: dict[str, Version] = field(default_factory=dict)
    holders: frozenset[str] = frozenset()
    sessions: int = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to store the states of the walks."""
        return self.sessions % STORE_EVERY == 0

    def keep(self, dataset: "Dataset", walks: Mapping[str, Walk]) -> None:
        """Takes over how the walks of a session ended."""
        self.walks = dict(walks)
        self.states = {name: walk.state for name, walk in walks.items()}
        self.learners = {name: walk.learner for name, walk in walks.items() if walk.learner is not None}
        self.labels = outcomes.of_dataset(dataset)
        if self.is_due:
            for learner in self.learners.values():  # their predictions up to here are in the checkpoints by now
                learner.forget_predictions(learner.seq)
        self.sessions += 1

    def replays(self, appended: Sequence[NewEvent]) -> dict[str, LearnerReplay]:
        """The learners held, with the rows that were appended to the log since they had learned all of it."""
        return {
            name: replay_appended(learner, state.learned_through, appended)
            for name, learner in self.learners.items()
            if (state := self.states[name]) is not None
        }

    def wants_registered(self, task: Task, name: str, rows_trained: int) -> bool:
        """Whether a newer model becomes a version: a contender's first one, then those of the holders of an alias.

        A contender that learns each session is registered as often as a batch contender is refitted.
        """
        before, declared = self.newest.get(name), task.contenders[name]
        if before is None:
            return True
        wait = 0 if declared.kind == "batch" else declared.refit_every
        return name in self.holders and rows_trained - before.rows_trained >= wait
