"""Losses row by row, metrics over rows, and metrics over time.

Contenders are compared on the same rows only: those in which each of them had made a prediction.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from core.config.tasks import Task
from features.arrays import Floats
from training.evaluation import e_values

Indices = npt.NDArray[np.int64]

MOST_POINTS = 200
_CLIP = 1e-15  # a probability of exactly 0 or 1 that was wrong costs 34.5 in log loss, not infinity


def paired(board: pl.DataFrame, contenders: Sequence[str]) -> pl.DataFrame:
    """Select the labelled rows that every one of the contenders predicted.

    Args:
        board: long, as `training.evaluation.predictions.scoreboard` gives it: target_date, contender, value, label.
        contenders: their names; one that is not on the board leaves no row.

    Returns:
        target_date, label, and a column of predictions for each contender.

    """
    names = list(dict.fromkeys(contenders))
    usable = board.filter(
        pl.col("contender").is_in(names),
        pl.col("label").is_not_null() & pl.col("label").is_finite(),
        pl.col("value").is_not_null() & pl.col("value").is_finite(),
    )
    wide = usable.pivot("contender", index=["target_date", "label"], values="value")
    missing = [pl.lit(None, dtype=pl.Float64).alias(name) for name in names if name not in wide.columns]
    return wide.with_columns(missing).select("target_date", "label", *names).drop_nulls().sort("target_date")


def losses(task: Task, labels: Floats, values: Floats) -> Floats:
    """Return the loss of each row, whose mean is the task's metric: (P(UP) - label)², or |forecast - label|."""
    return e_values.loss(task.metric, labels, values)


def metrics(task: Task, labels: Floats, values: Floats) -> dict[str, float]:
    """Compute accuracy at the task's threshold, Brier score and log loss; or MAE, RMSE and MAPE (0.03 is 3 %).

    MAPE leaves out rows whose label is zero. Empty when there are no rows; a metric without rows is absent.
    """
    all_rows = np.array([0]), np.array([len(labels)])
    means = {name: _finish(name, _means(terms, *all_rows))[0] for name, terms in _terms(task, labels, values).items()}
    return {name: float(mean) for name, mean in means.items() if np.isfinite(mean)}


def over_time(task: Task, labels: Floats, values: Floats, points: int = MOST_POINTS) -> pl.DataFrame:
    """Compute each metric after so many `rows`, over all of them and, as `recent_…`, over the last year or two.

    The table has at most `points` rows, evenly spaced, the last always among them; null while a window is not full.
    """
    window = 252 if task.frequency == "session" else 24
    count = len(labels)
    rows = (
        np.unique(np.linspace(1, count, min(points, count)).round().astype(np.int64))
        if count
        else np.empty(0, np.int64)
    )
    columns: dict[str, Floats] = {}
    for name, terms in _terms(task, labels, values).items():
        columns[name] = _finish(name, _means(terms, np.zeros_like(rows), rows))
        recent = _finish(name, _means(terms, np.maximum(rows - window, 0), rows))
        columns[f"recent_{name}"] = np.where(rows >= window, recent, np.nan)
    table = pl.DataFrame({"rows": rows, **columns}, schema_overrides={"rows": pl.Int64})
    return table.with_columns(pl.exclude("rows").fill_nan(None))


def _terms(task: Task, labels: Floats, values: Floats) -> dict[str, Floats]:
    """Return what each row adds to the mean of each metric; NaN where a row does not count."""
    error = values - labels
    if not task.is_classification:
        relative = np.divide(np.abs(error), np.abs(labels), out=np.full(len(error), np.nan), where=labels != 0)
        return {"mae": np.abs(error), "rmse": error**2, "mape": relative}
    predicted_up = values >= task.target.threshold
    of_truth = np.clip(np.where(labels > 0.5, values, 1 - values), _CLIP, 1)
    return {
        "accuracy": (predicted_up == (labels > 0.5)).astype(np.float64),
        "brier": error**2,
        "log_loss": -np.log(of_truth),
    }


def _finish(name: str, mean: Floats) -> Floats:
    root: Floats = np.sqrt(mean)
    return root if name == "rmse" else mean


def _means(terms: Floats, first: Indices, last: Indices) -> Floats:
    """Return the means over the rows from each `first` up to each `last`; NaN where none counts."""
    # Differences of cumulated sums: one pass, however many windows there are.
    counts = np.concatenate([[0], np.cumsum(~np.isnan(terms))])
    sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(terms))])
    n = counts[last] - counts[first]
    means: Floats = np.divide(sums[last] - sums[first], n, out=np.full(len(n), np.nan), where=n > 0)
    return means
