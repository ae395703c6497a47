"""Outcomes: labels as they became known. A label that is restated later is a new row beside the old one."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from core.config.tasks import Task
from core.db.bulk_insert import insert_new
from core.db.pipeline_tables import outcomes

if TYPE_CHECKING:
    from features.dataset import Dataset


_NEWEST: dict[str, pl.DataType | type[pl.DataType]] = {
    "target_date": pl.Date,
    "label": pl.Float64,
    "label_known_at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class LabelWrite:
    """Labels that were new, and labels that differ from what was known before."""

    new: int
    restated: int


def of_dataset(dataset: "Dataset") -> pl.DataFrame:
    """Return the labels of a dataset in the form of `newest`."""
    return dataset.table.filter(pl.col("label").is_not_null()).select(*_NEWEST)


def record(
    connection: sa.Connection, task: Task, dataset: "Dataset", recorded: pl.DataFrame | None = None
) -> LabelWrite:
    """Add the dataset's labels that were not known, or had another value, at the dataset's as-of.

    Args:
        connection: the caller's transaction.
        task: the task whose target the labels are of.
        dataset: the labels, and as of when.
        recorded: the result of `newest`, where the caller has it already.

    """
    labels = of_dataset(dataset).rename({"label_known_at": "known_at"})
    if recorded is None:
        recorded = newest(connection, task, dataset.series, dataset.as_of)
    # Only what is new or differs is written: a label that is known already keeps the time when it became known.
    known = recorded.select("target_date", pl.col("label").alias("was"))
    changed = labels.join(known, on="target_date", how="left").filter(
        pl.col("was").is_null() | (pl.col("was") != pl.col("label"))
    )
    restated = changed.filter(pl.col("was").is_not_null()).height
    rows = changed.select(
        pl.lit(dataset.series).alias("series"),
        pl.lit(task.target.kind).alias("target_kind"),
        "target_date",
        "known_at",
        "label",
    )
    added = insert_new(connection, outcomes, rows)
    return LabelWrite(new=max(added - restated, 0), restated=restated)


def newest(connection: sa.Connection, task: Task, series: str, as_of: datetime | None = None) -> pl.DataFrame:
    """Read the newest label of each date, of those known at `as_of` (default: now).

    Columns: `target_date` (Date), `label` (Float64), `label_known_at` (Datetime, UTC); sorted by date.
    """
    statement = (
        sa.select(outcomes.c.target_date, outcomes.c.label, outcomes.c.known_at)
        .ext(distinct_on(outcomes.c.target_date))
        .where(outcomes.c.series == series, outcomes.c.target_kind == task.target.kind)
        .order_by(outcomes.c.target_date, outcomes.c.known_at.desc())
    )
    if as_of is not None:
        statement = statement.where(outcomes.c.known_at <= as_of)
    rows = [tuple(row) for row in connection.execute(statement)]
    return pl.DataFrame(rows, schema=_NEWEST, orient="row")


def count(connection: sa.Connection, task: Task, series: str, as_of: datetime) -> int:
    """Count the labels known at `as_of`, restated ones again: the count grows whenever a label becomes known."""
    columns = outcomes.c
    of_series = sa.and_(columns.series == series, columns.target_kind == task.target.kind, columns.known_at <= as_of)
    labels: int = connection.execute(sa.select(sa.func.count()).select_from(outcomes).where(of_series)).scalar_one()
    return labels
