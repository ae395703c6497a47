"""Walk-forward: a contender goes over the rows in order; it predicts a row, then learns its label.

A walk can stop after any row and be continued from its state: pieces give what the whole gives, to the bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING

import polars as pl

from core.config.tasks import Task
from features.arrays import History
from training.backtest import parallel
from training.backtest.replay import LearnerReplay
from training.backtest.state import WalkState
from training.backtest.walkers import WalkResult, walker
from training.learners.learner import Learner
from training.models.base import Model

if TYPE_CHECKING:
    from features.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk gave.

    Attributes:
        predictions: event_date, target_date, trained_through (null when untrained), value (null: no prediction yet),
            one row for each target date after those predicted before, the latest without a label included.
        state: to continue from.
        model: the current version; None before the first fit. An incremental one has learned the last label, a batch
            one was fitted at the last point of its grid.
        learner: holds the model of a contender that learns row by row, and its predictions of this walk.

    """

    predictions: pl.DataFrame
    state: WalkState
    model: Model | None
    learner: Learner | None = None

    @property
    def trained_through(self) -> date | None:
        """The target date of the last row that the model learned."""
        return self.state.trained_through

    @property
    def rows_trained(self) -> int:
        """How many rows the model learned."""
        return self.state.rows_trained


def walk(task: Task, name: str, dataset: "Dataset", state: WalkState | None) -> Walk:
    """Takes one contender over the rows after its state, and through all labels known by now.

    Raises:
        DataRefusedError: the dataset cannot be used.
        ConfigurationError: the contender cannot be made.

    """
    return walk_all(task, dataset, {name: state})[name]


def walk_all(
    task: Task,
    dataset: "Dataset",
    states: Mapping[str, WalkState | None],
    replays: Mapping[str, LearnerReplay] = MappingProxyType({}),
) -> dict[str, Walk]:
    """Walks several contenders, sharing the refits among processes when there are many. Same results as `walk`.

    `replays`: the learners of contenders that have an event log.
    """
    history = History.of(dataset)
    walkers = {name: walker(task, name, history, state, replays.get(name)) for name, state in states.items()}
    work = [(name, refit) for name, planned in walkers.items() for refit in planned.refits]
    done = iter(parallel.run(task, history, work))
    results = {name: planned.finish([next(done) for _ in planned.refits]) for name, planned in walkers.items()}
    return {name: _walk(dataset, result) for name, result in results.items()}


def _walk(dataset: "Dataset", result: WalkResult) -> Walk:
    predictions = dataset.table.select("event_date", "target_date").slice(result.begin)
    predictions = predictions.with_columns(
        pl.Series("trained_through", result.trained_through, dtype=pl.Date),
        pl.Series("value", result.values, dtype=pl.Float64).fill_nan(None),
    )
    return Walk(predictions, result.state, result.model, result.learner)
