"""The state of each contender's walk-forward backtest, and the rows of the table `progress` that keep it."""

from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.config.tasks import Task
from core.db.engine import fetch_all
from core.db.pipeline_tables import progress
from core.fingerprint import environment_fingerprint
from features.arrays import History
from training.models.base import deserialize, dumps

_MODEL_CODE = ("training.models",)


@dataclass(frozen=True)
class WalkState:
    """What a contender has learned and predicted so far, and the model with which it goes on.

    Attributes:
        learned_through: target date of the newest row learned; None before the first.
        rows_learned: labelled rows consumed so far, in the order of their target dates.
        predicted_through: newest target date predicted.
        trained_through: target date of the newest row that `model` learned.
        rows_trained: rows that `model` learned; for a batch contender those of its window.
        grid: batch contenders: the point on the grid of refits at which `model` was fitted (labels seen by then).
        model: the serialised model; None before the first fit, and where an event log has the learner's checkpoints.
        is_foreign: another environment pickled the rest, so only `learned_through` and `rows_learned` are known, and
            the walk rebuilds the model from the rows up to there.

    """

    learned_through: date | None = None
    rows_learned: int = 0
    predicted_through: date | None = None
    trained_through: date | None = None
    rows_trained: int = 0
    grid: int | None = None
    model: bytes | None = None
    is_foreign: bool = False

    @classmethod
    def stored(cls, learned_through: date | None, rows_learned: int, content: bytes) -> "WalkState":
        """The state that a row of `progress` holds; `content` is what `packed` made."""
        return cls(learned_through, rows_learned, *deserialize(content))

    def packed(self) -> bytes:
        """All that has no column of its own: equal states, equal bytes."""
        # A tuple in this order is what the column has held from the first release on.
        return dumps((self.predicted_through, self.trained_through, self.rows_trained, self.grid, self.model))

    def labels_learned(self, history: History) -> int:
        """How many of the history's labels are learned already; the first of them."""
        return history.labels_through(self.learned_through)

    def first_row(self, history: History) -> int:
        """Index of the first row of the history that is still to be predicted."""
        if self.is_foreign:
            # How far it predicted is unknown: every row that had begun by then had its prediction stored with it.
            predicted = history.rows_begun_by(self.learned_through)
        else:
            predicted = history.rows_through(self.predicted_through)
        return max(predicted, history.rows_through(self.learned_through))

    def predicted_with(self, history: History) -> date | None:
        """The newest target date predicted once all rows of the history are."""
        days = [day for day in (self.predicted_through, history.last_target()) if day is not None]
        return max(days, default=None)


def fingerprint() -> str:
    """What a pickled model depends on: one with another fingerprint is never unpickled."""
    return environment_fingerprint(_MODEL_CODE)


def read(engine: sa.Engine, task: Task, series: str) -> dict[str, WalkState | None]:
    """The states of the task's contenders, as declared now, on a series; None for one that has not begun."""
    declared = [(name, task.contender_hash(name)) for name in task.contenders]
    columns = progress.c
    rows = fetch_all(
        engine,
        sa.select(progress).where(
            columns.task == task.name,
            columns.series == series,
            sa.tuple_(columns.contender, columns.contender_hash).in_(declared),
        ),
    )
    present = fingerprint()
    found = {
        row.contender: WalkState.stored(row.learned_through, row.rows_learned, row.model)
        if row.stamp == present and row.model is not None
        else WalkState(row.learned_through, row.rows_learned, is_foreign=True)
        for row in rows
    }
    return {name: found.get(name) for name in task.contenders}


def write(connection: sa.Connection, task: Task, series: str, contender: str, state: WalkState) -> None:
    """Stores a contender's state, in the transaction that adds its predictions."""
    key = {
        "task": task.name,
        "series": series,
        "contender": contender,
        "contender_hash": task.contender_hash(contender),
    }
    values = {
        "learned_through": state.learned_through,
        "rows_learned": state.rows_learned,
        "stamp": fingerprint(),
        "model": state.packed(),
        "recorded_at": sa.func.now(),
    }
    connection.execute(
        insert(progress).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values)
    )
