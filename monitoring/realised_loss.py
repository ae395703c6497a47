"""The loss of served predictions, beside the baseline's loss on the same dates."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.config.tasks import Task
from core.db.engine import connection as connection_of
from core.db.pipeline_tables import contender_predictions, predictions
from core.db.pipeline_tables import outcomes as labels_known
from training.evaluation import losses, outcomes

NEWEST_DATES = 252
"""So many of the newest scored dates count: a year of sessions."""

_SCHEMA = pl.Schema({"target_date": pl.Date, "version": pl.Int64, "value": pl.Float64})


@dataclass(frozen=True)
class ServedAnswer:
    """The mean loss of what was answered over `n` dates, and the baseline's over the same; None without any."""

    n: int
    loss: float | None
    baseline_loss: float | None


def score(engine: sa.Engine, task: Task, series: str, as_of: datetime) -> ServedAnswer:
    """Scores the answers of the API: the first of each version and date, made before the label was known.

    A date that several versions predicted counts once, by the last prediction before the label.
    Dates without a prediction of the baseline do not count.
    """
    with connection_of(engine) as connection:
        answered = _frame(connection, _answers(task, series, as_of))
        baseline = _frame(connection, _baseline(task, series))
        labels = outcomes.newest(connection, task, series, as_of).join(
            _first_known(connection, task, series), on="target_date"
        )
    before = (
        answered.join(labels, on="target_date")
        # What was answered after the label was known is no prediction.
        .filter(pl.col("made_at") < pl.col("first_known_at"))
        .sort("target_date", "made_at")
        .group_by("target_date", maintain_order=True)
        .last()
        .join(baseline.select("target_date", pl.col("value").alias("baseline")), on="target_date")
        .filter(pl.col("value").is_finite(), pl.col("baseline").is_finite())
        .sort("target_date")
        .tail(NEWEST_DATES)
    )
    if before.is_empty():
        return ServedAnswer(0, None, None)
    truth = before.get_column("label").to_numpy()
    means = [
        float(np.mean(losses.losses(task, truth, before.get_column(name).to_numpy()))) for name in ("value", "baseline")
    ]
    return ServedAnswer(before.height, *means)


def _first_known(connection: sa.Connection, task: Task, series: str) -> pl.DataFrame:
    """When each label was known for the first time: one that was restated later was no secret before."""
    columns = labels_known.c
    statement = (
        sa.select(columns.target_date, sa.func.min(columns.known_at))
        .where(columns.series == series, columns.target_kind == task.target.kind)
        .group_by(columns.target_date)
    )
    schema = pl.Schema({"target_date": pl.Date(), "first_known_at": pl.Datetime("us", "UTC")})
    return pl.DataFrame([tuple(row) for row in connection.execute(statement)], schema=schema, orient="row")


def _answers(task: Task, series: str, as_of: datetime) -> sa.Select[tuple[object, ...]]:
    columns = predictions.c
    return (
        sa.select(columns.target_date, columns.version, columns.value, columns.made_at)
        .ext(distinct_on(columns.version, columns.target_date))
        .where(columns.task == task.name, columns.series == series, columns.made_at <= as_of)
        .order_by(columns.version, columns.target_date, columns.made_at)
    )


def _baseline(task: Task, series: str) -> sa.Select[tuple[object, ...]]:
    columns = contender_predictions.c
    return sa.select(columns.target_date, sa.literal(0), columns.value, columns.made_at).where(
        columns.task == task.name,
        columns.series == series,
        columns.contender == task.baseline,
        columns.contender_hash == task.contender_hash(task.baseline),
    )


def _frame(connection: sa.Connection, statement: sa.Select[tuple[object, ...]]) -> pl.DataFrame:
    rows = [tuple(row) for row in connection.execute(statement)]
    return pl.DataFrame(rows, schema={**_SCHEMA, "made_at": pl.Datetime("us", "UTC")}, orient="row")
