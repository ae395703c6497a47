"""Where each contender stands in its walk: the model and the watermark, which live and die together."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.config.tasks import Task
from core.db.engine import reachable
from core.db.pipeline_tables import progress
from core.fingerprint import environment_fingerprint
from training.backtest.state import Position

_MODEL_CODE = ("training.models",)


@dataclass(frozen=True)
class WalkState:
    """Positions to go on from, None for a contender that has not begun.

    `stale`: those whose stored model another environment pickled. Their positions hold no model, and the walk
    rebuilds it from the rows that it had learned.
    """

    positions: dict[str, Position | None]
    stale: tuple[str, ...]


def stamp() -> str:
    """What a pickled contender depends on. A model with another stamp is never unpickled."""
    return environment_fingerprint(_MODEL_CODE)


def read(engine: sa.Engine, task: Task, series: str) -> WalkState:
    """The positions of the task's contenders, as declared now, on a series."""
    declared = [(name, task.contender_hash(name)) for name in task.contenders]
    columns = progress.c
    statement = sa.select(progress).where(
        columns.task == task.name,
        columns.series == series,
        sa.tuple_(columns.contender, columns.contender_hash).in_(declared),
    )
    with reachable(), engine.connect() as connection:
        rows = connection.execute(statement).all()
    present = stamp()
    stale = tuple(sorted(row.contender for row in rows if row.stamp != present))
    stored = {
        row.contender: Position(row.learned_through, row.rows_learned, None if row.contender in stale else row.model)
        for row in rows
    }
    return WalkState({name: stored.get(name) for name in task.contenders}, stale)


def write(connection: sa.Connection, task: Task, series: str, contender: str, position: Position) -> None:
    """Moves a contender's watermark, in the transaction that adds its predictions."""
    state = {
        "learned_through": position.learned_through,
        "rows_learned": position.rows_learned,
        "stamp": stamp(),
        "model": position.model,
        "recorded_at": sa.func.now(),
    }
    key = {
        "task": task.name,
        "series": series,
        "contender": contender,
        "contender_hash": task.contender_hash(contender),
    }
    connection.execute(
        insert(progress).values(**key, **state).on_conflict_do_update(index_elements=list(key), set_=state)
    )
