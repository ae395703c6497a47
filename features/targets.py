"""Targets: what came true on the date after each row's, and when that was known. What is not known is null."""

import polars as pl

from core.config.tasks import Task
from core.errors import ConfigurationError


def label(task: Task, history: pl.DataFrame) -> pl.DataFrame:
    """Columns `label` (Float64) and `label_known_at` (Datetime, UTC), one row for each of `history`, null = unknown.

    `direction`: 1.0 when the adjusted return of the target date exceeds zero, else 0.0: a tie is DOWN.
    `value`: the target date's value. Known when the last observation that the label is made of was known, so that a
    restatement of either one makes it a label known later. Unknown when the target date has no observation (yet).
    """
    known_at = history["known_at"].shift(-1)
    if task.target.kind == "direction":
        growth = _require(task, history, "growth", "close, dividend and split (or value)").shift(-1)
        values = (growth > 1.0).cast(pl.Float64)
        known_at = pl.DataFrame([known_at.alias("target"), history["known_at"].alias("base")]).select(
            pl.max_horizontal("target", "base")
        )["target"]
    else:
        values = _require(task, history, "value", "value").shift(-1)
        values = values.set(~values.is_finite().fill_null(value=False), None)
    return pl.DataFrame([values.alias("label"), known_at.set(values.is_null(), None).alias("label_known_at")])


def _require(task: Task, history: pl.DataFrame, column: str, fields: str) -> pl.Series:
    if column not in history.columns:
        raise ConfigurationError(
            f"The target of task {task.name} is a {task.target.kind}, made of {fields}, which its observations lack.",
            "Choose the other kind of target, or a source that has these fields.",
        )
    return history[column]
