"""Datasets: `build` for training and `latest_row` for serving, over the same transforms, equal to the bit."""

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import polars as pl

from core.config.tasks import Task, digest
from features import targets, transforms
from features.calendar_frame import lay_out, on_calendar
from ingestion.store import observations as store

KEYS = ("event_date", "target_date")
LABEL = ("label", "label_known_at")
INSTANT = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Dataset:
    """The feature table of a task, and what it was built from.

    `table`: event_date (Date: the features are of this date's close), target_date (Date: the next expected date), the
    features (Float64, never null), label (Float64, null = unknown), label_known_at (Datetime UTC, null = unknown);
    sorted, one row an event_date. A date whose history is too short, or has a gap where a feature looks, has no row.
    `data_hash` names the observations and the declaration (`feature_hash`) that it was built from: datasets are
    compared by these, not by their tables.
    """

    task: str
    series: str
    source: str
    as_of: datetime
    table: pl.DataFrame = field(compare=False, repr=False)
    feature_names: tuple[str, ...]
    data_hash: str
    feature_hash: str = ""


@dataclass(frozen=True)
class DatasetRow:
    """The features of one date, from which its target is predicted; `features_hash` names what the model saw."""

    event_date: date
    target_date: date
    features: dict[str, float]
    features_hash: str


def build(task: Task, series: str, source: str, observations: pl.DataFrame, as_of: datetime) -> Dataset:
    """The dataset of a task from the observations known at `as_of` (as `ingestion.store.observations.read_as_of` gives
    them).

    A pure function of its arguments: no row depends on an observation after its event_date, and only the label on
    that of its target_date.
    """
    planned = transforms.columns(task)
    names = tuple(column.name for column in planned)
    kept = on_calendar(task, observations)
    if kept.is_empty():
        table = _empty(names)
    else:
        history = lay_out(task, kept)
        table = _rows(task, planned, history, targets.label(task, history))
    data_hash = dataset_hash(task, series, observations)
    return Dataset(task.name, series, source, as_of, table, names, data_hash, declaration_hash(task))


def latest_row(task: Task, observations: pl.DataFrame) -> DatasetRow | None:
    """The row of the newest observation: what the next value is predicted from. Needs only a tail of the history.

    Equal to the bit to `build`'s row of that date, however much history each is given, as long as there are
    `lookback(task)` observations. None where `build` has no row of that date: a history too short, or with a gap.
    """
    planned = transforms.columns(task)
    # Only what the row needs: the transforms never look further back, so it equals the row of `build` to the bit.
    kept = on_calendar(task, observations).tail(lookback(task))
    if kept.is_empty():
        return None
    newest = kept["event_date"][-1]
    table = _rows(task, planned, lay_out(task, kept)).filter(pl.col("event_date") == newest)
    if table.is_empty():
        return None
    features = {column.name: float(table[column.name][0]) for column in planned}
    return DatasetRow(newest, table["target_date"][0], features, features_hash(features))


def lookback(task: Task) -> int:
    """The observations that a row of the task needs, its own included."""
    return max(column.lookback for column in transforms.columns(task))


def declaration_hash(task: Task) -> str:
    """SHA-256 (16 hex digits) of what makes a table out of observations: features, target, dates, definitions."""
    declared = task.model_dump(
        mode="json", include={"target": {"kind"}, "features": True, "frequency": True, "calendar": True}
    )
    return digest({**declared, "definitions": transforms.DEFINITIONS})


def dataset_hash(task: Task, series: str, observations: pl.DataFrame) -> str:
    """SHA-256 (16 hex digits) of the observations read, the series they are of, and the task's declaration."""
    return digest(
        {"observations": store.data_hash(observations), "series": series, "declaration": declaration_hash(task)}
    )


def features_hash(features: dict[str, float]) -> str:
    """SHA-256 (16 hex digits) of the names and the values (IEEE 754 doubles, little-endian), in their order.

    >>> features_hash({"range": 0.5}) == features_hash({"range": 0.5 + 1e-16})
    False
    >>> features_hash({"a": 1.0, "b": 2.0}) == features_hash({"b": 2.0, "a": 1.0})
    False
    """
    state = hashlib.sha256(",".join(features).encode())
    state.update(np.array(list(features.values()), dtype="<f8").tobytes())
    return state.hexdigest()[:16]


def content_hash(table: pl.DataFrame) -> str:
    """SHA-256 of every value of a table, its columns' names and types, whatever file format it was kept in.

    >>> content_hash(pl.DataFrame({"a": [1.0, None]})) == content_hash(pl.DataFrame({"a": [1.0, 0.0]}))
    False
    """
    state = hashlib.sha256()
    for column in table.get_columns():
        state.update(f"{column.name}: {column.dtype}\n".encode())
        state.update(column.is_null().to_numpy().tobytes())
        values = column.to_physical().fill_null(0).to_numpy()
        state.update(values.astype("<f8" if column.dtype.is_float() else "<i8").tobytes())
    return state.hexdigest()


def _rows(
    task: Task,
    planned: tuple[transforms.Column, ...],
    history: pl.DataFrame,
    label: pl.DataFrame | None = None,
) -> pl.DataFrame:
    names = [column.name for column in planned]
    table = history.select(KEYS).hstack([column.compute(task, history) for column in planned])
    if label is not None:
        table = table.hstack(label)
    table = table.with_columns(pl.col(names).cast(pl.Float64))
    return table.filter(pl.all_horizontal(pl.col(names).is_finite()))


def _empty(names: tuple[str, ...]) -> pl.DataFrame:
    dates, features = dict.fromkeys(KEYS, pl.Date), dict.fromkeys(names, pl.Float64)
    return pl.DataFrame(schema={**dates, **features, "label": pl.Float64, "label_known_at": INSTANT})
