"""What a process that trains night after night holds of a task's contenders, so that a night costs that night's rows.

Predictions, labels and the event log are stored every night. Where the contenders stand, and the models with which they
go on, are held here and stored when `rest` says so; a process that ends before goes on from an older place, where it
says again what is stored, and stores what is not.
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

REST_EVERY = 63
"""Nights between two times that the states of the walks are stored: with four batch models they are 300 kB."""


@dataclass(eq=False)
class TrainingSession:
    """The contenders of one task on one series, after the last night.

    `labels` are those recorded, `newest` the newest version of each contender that has one. `holders` are the
    contenders that hold an alias: a later version is registered of these only (and a first one of each).
    """

    states: dict[str, WalkState | None] = field(default_factory=dict)
    learners: dict[str, Learner] = field(default_factory=dict)
    walks: dict[str, Walk] = field(default_factory=dict)
    labels: pl.DataFrame | None = None
    newest: dict[str, Version] = field(default_factory=dict)
    holders: frozenset[str] = frozenset()
    nights: int = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to store the states of the walks."""
        return self.nights % REST_EVERY == 0

    def keep(self, dataset: "Dataset", walks: Mapping[str, Walk]) -> None:
        """Remembers where the walks ended. What learners said until the last rest is stored, and forgotten."""
        self.walks = dict(walks)
        self.states = {name: walk.state for name, walk in walks.items()}
        self.learners = {name: walk.learner for name, walk in walks.items() if walk.learner is not None}
        self.labels = outcomes.of_dataset(dataset)
        if self.is_due:
            for learner in self.learners.values():
                learner.forget_predictions(learner.seq)
        self.nights += 1

    def replays(self, appended: Sequence[NewEvent]) -> dict[str, LearnerReplay]:
        """The learners held, with the rows that were appended to the log since they had learned all of it."""
        return {
            name: replay_appended(learner, state.learned_through, appended)
            for name, learner in self.learners.items()
            if (state := self.states[name]) is not None
        }

    def wants_registered(self, task: Task, name: str, rows_trained: int) -> bool:
        """Whether a newer model becomes a version: a contender's first one, then those of who holds an alias.

        What learns every night is registered as often as a batch contender is refitted.
        """
        before, declared = self.newest.get(name), task.contenders[name]
        if before is None:
            return True
        wait = 0 if declared.kind == "batch" else declared.refit_every
        return name in self.holders and rows_trained - before.rows_trained >= wait
