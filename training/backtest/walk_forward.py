"""Walk-forward: a contender goes over the rows in order; it predicts a row, then learns its label.

A walk can stop after any row and be continued from its position: pieces give what the whole gives, to the bit.
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
from training.backtest.state import Position
from training.backtest.walkers import WalkResult, walker
from training.learners.learner import Learner
from training.models.base import Model

if TYPE_CHECKING:
    from features.dataset import Dataset

__all__ = ["Position", "Walk", "walk", "walk_all"]


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk gave.

    `predictions`: event_date, target_date, trained_through (null when untrained), value (null: no prediction yet),
    one row for each target date after the position's, the latest without a label included. `model` is the current
    version (incremental: after the last label; batch: of the last point on the grid; None before the first fit),
    with the target date of the last row it learned and how many it learned from. `learner` is what holds an incremental
    one, and what it said on the way.
    """

    predictions: pl.DataFrame
    position: Position
    model: Model | None
    trained_through: date | None
    rows_trained: int
    learner: Learner | None = None


def walk(task: Task, name: str, dataset: "Dataset", resume: Position | None) -> Walk:
    """Takes one contender over the rows after its position, and through all labels known by now.

    Raises DataRefusedError for a dataset that cannot be walked, ConfigurationError for a contender that cannot be made.
    """
    return walk_all(task, dataset, {name: resume})[name]


def walk_all(
    task: Task,
    dataset: "Dataset",
    positions: Mapping[str, Position | None],
    tails: Mapping[str, LearnerReplay] = MappingProxyType({}),
) -> dict[str, Walk]:
    """Walks several contenders, sharing the refits among processes when there are many. Same results as `walk`.

    `tails`: of contenders whose learners stand in an event log, where.
    """
    history = History.of(dataset)
    walkers = {name: walker(task, name, history, at, tails.get(name)) for name, at in positions.items()}
    work = [(name, refit) for name, planned in walkers.items() for refit in planned.refits]
    done = iter(parallel.run(task, history, work))
    steps = {name: planned.finish([next(done) for _ in planned.refits]) for name, planned in walkers.items()}
    return {name: _walk(dataset, taken) for name, taken in steps.items()}


def _walk(dataset: "Dataset", steps: WalkResult) -> Walk:
    predictions = dataset.table.select("event_date", "target_date").slice(steps.begin)
    predictions = predictions.with_columns(
        pl.Series("trained_through", steps.trained_through, dtype=pl.Date),
        pl.Series("value", steps.values, dtype=pl.Float64).fill_nan(None),
    )
    stand = steps.stand
    return Walk(predictions, steps.position, steps.model, stand.trained_through, stand.rows_trained, steps.learner)
