"""The contenders' predictions, each made before its label was known, and the scoreboard that compares them."""

from datetime import date, datetime

import polars as pl
import sqlalchemy as sa

from core.config.tasks import Task
from core.db.bulk_insert import insert_new
from core.db.engine import connection as connected
from core.db.pipeline_tables import contender_predictions
from training.evaluation import outcomes

_COLUMNS = pl.Schema(
    {
        "target_date": pl.Date,
        "event_date": pl.Date,
        "contender": pl.String,
        "value": pl.Float64,
        "trained_through": pl.Date,
    }
)


def record(
    connection: sa.Connection, task: Task, series: str, contender: str, predictions: pl.DataFrame, made_at: datetime
) -> int:
    """Add the predictions of a walk-forward backtest and return how many were new; stored ones are never changed.

    `predictions`: event_date, target_date, trained_through (null: untrained), value (null: no prediction yet).
    """
    rows = predictions.select(
        pl.lit(task.name).alias("task"),
        pl.lit(series).alias("series"),
        pl.lit(contender).alias("contender"),
        pl.lit(task.contender_hash(contender)).alias("contender_hash"),
        "target_date",
        "event_date",
        "trained_through",
        pl.col("value").fill_nan(None),  # "no prediction yet" is absent, not a number
        pl.lit(made_at).alias("made_at"),
    )
    # Rows that exist stay: a prediction counts as evidence only as it was made before its label was known.
    return insert_new(connection, contender_predictions, rows)


def scoreboard(engine: sa.Engine, task: Task, series: str, as_of: datetime | None = None) -> pl.DataFrame:
    """Read every stored prediction of the contenders as declared now, beside the newest known label.

    Long: `target_date`, `event_date` (Date), `contender`, `value` (null: no prediction yet), `trained_through`
    (null: untrained), `label` (null: unknown at `as_of`), `label_known_at`; sorted by target date, then contender.
    """
    statement = sa.select(*(contender_predictions.c[name] for name in _COLUMNS)).where(_declared(task, series))
    with connected(engine) as opened:
        rows = [tuple(row) for row in opened.execute(statement)]
        labels = outcomes.newest(opened, task, series, as_of)
    board = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    return board.join(labels, on="target_date", how="left").sort("target_date", "contender")


def extent(connection: sa.Connection, task: Task, series: str) -> tuple[int, date | None]:
    """Count the stored predictions of the contenders as declared now; return the newest event date as well."""
    statement = sa.select(sa.func.count(), sa.func.max(contender_predictions.c.event_date))
    rows, newest = connection.execute(statement.where(_declared(task, series))).one()
    return rows, newest


def scored(task: Task, board: pl.DataFrame) -> pl.DataFrame:
    """Select the rows that count: the label is known, and the date is not among the task's first `scored_from`."""
    dates = board.get_column("target_date").unique().sort()
    return board.filter(
        pl.col("label").is_not_null(), pl.col("target_date").is_in(dates.slice(task.scored_from).implode())
    )


def _declared(task: Task, series: str) -> sa.ColumnElement[bool]:
    columns = contender_predictions.c
    named = sa.tuple_(columns.contender, columns.contender_hash)
    # A contender that is declared otherwise is another one: its earlier predictions are not its own.
    hashes = [(name, task.contender_hash(name)) for name in task.contenders]
    return sa.and_(columns.task == task.name, columns.series == series, named.in_(hashes))
