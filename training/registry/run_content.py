"""What a run shows of a contender: its parameters, its metrics beside the baseline's, their course, and pictures."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.config.pushed_tasks import PushedTask
from core.config.tasks import Task
from training.evaluation import losses, plots
from training.learners.factory import task_declaring
from training.learners.learner import Learner
from training.learners.outbox import PendingRegistration
from training.models.online import DEFAULT_SERIES
from training.registry.base import MetricPoint
from training.registry.versions import Version

if TYPE_CHECKING:
    from features.dataset import Dataset

_BASELINE = "baseline_"
_PNG_COMPRESSION = 1  # a third faster to write, hardly larger
# Series whose metrics the run of a checkpoint shows: those with the most rows. A pushed task may have any number.
_MOST_SERIES = 20
# Of a parameter's value: what every release of MLflow takes.
_MOST_CHARACTERS = 500


@dataclass(frozen=True)
class RunContent:
    """How much a run shows: whether pictures, and how many points of each metric's course."""

    pictures: bool
    points: int


FULL, BRIEF = RunContent(pictures=True, points=50), RunContent(pictures=False, points=2)


def params(task: Task, dataset: "Dataset", version: Version) -> dict[str, str]:
    """How the contender was declared, and on what its version was trained."""
    declared = task.contenders[version.contender].model_dump(mode="json")
    parameters = declared.pop("parameters")
    trained = {
        "series": dataset.series,
        "source": dataset.source,
        "features": ", ".join(dataset.feature_names),
        "rows_trained": version.rows_trained,
        "trained_through": version.trained_through,
    }
    every = declared | {f"parameters.{key}": value for key, value in parameters.items()} | trained
    return {key: str(value) for key, value in every.items() if value is not None}


def metrics(task: Task, contender: str, scored: pl.DataFrame, points_each: int) -> list[MetricPoint]:
    """The contender's metrics as they developed and, as `baseline_…`, the baseline's on the same rows.

    The last point of each is over all rows. A point's step is the number of rows, its time their last target date.
    """
    rows = losses.paired(scored, [contender, task.baseline])
    labels, dates = rows["label"].to_numpy(), rows["target_date"].to_list()
    points = []
    for prefix, name in (("", contender), (_BASELINE, task.baseline)):
        course = losses.over_time(task, labels, rows[name].to_numpy(), points_each)
        for row in course.iter_rows(named=True):
            step = row.pop("rows")
            at = _milliseconds(dates[step - 1])
            points += [MetricPoint(prefix + key, value, step, at) for key, value in row.items() if value is not None]
    return points


def draw(task: Task, dataset: "Dataset", contender: str, scored: pl.DataFrame, folder: Path) -> None:
    """Writes the contender's pictures into a new folder."""
    folder.mkdir(parents=True)
    rows = losses.paired(scored, [contender, task.baseline])
    subject = plots.Subject(task, contender, dataset.series, dataset.source, rows)
    for name, figure in plots.draw(subject).items():
        figure.savefig(folder / f"{name}.png", pil_kwargs={"compress_level": _PNG_COMPRESSION})


def checkpoint_params(task: PushedTask, request: PendingRegistration, learner: Learner) -> dict[str, str]:
    """How the contender of a checkpoint was declared, where it still is declared so, and what it has learned."""
    declared = task_declaring(task, request.key)
    shown: dict[str, object] = {"contender": request.key.contender, "log": request.key.log}
    if declared is not None:
        named = declared.contenders[request.key.contender].model_dump(mode="json")
        shown |= {f"parameters.{name}": value for name, value in named.pop("parameters").items()} | named
    features = ", ".join(name for name in learner.stats.moments if name.isprintable())
    shown |= {"last_event_id": request.last_seq, "rows_trained": learner.rows_learned, "features": features}
    return {name: str(value)[:_MOST_CHARACTERS] for name, value in shown.items() if value is not None}


def checkpoint_metrics(request: PendingRegistration, learner: Learner) -> list[MetricPoint]:
    """The metrics of each series at a checkpoint; those of rows without a series have no prefix."""
    at = _milliseconds(request.session_date)
    report = sorted(learner.report().items(), key=lambda item: -item[1]["count"])[:_MOST_SERIES]
    points = {
        _series_metric(series, name): float(value)
        for series, figures in report
        for name, value in figures.items()
        if value is not None
    }
    return [MetricPoint(name, value, request.last_seq, at) for name, value in points.items()]


def _series_metric(series: str, name: str) -> str:
    """A metric's name, of the characters that MLflow takes.

    >>> _series_metric("default", "mae"), _series_metric("web/münchen", "mae_5")
    ('mae', 'web_m_nchen/mae_5')
    """
    return name if series == DEFAULT_SERIES else f"{re.sub('[^A-Za-z0-9_-]', '_', series)}/{name}"


def _milliseconds(day: date) -> int:
    """Since 1970; MLflow takes no time before that."""
    return max(0, int(datetime.combine(day, time(), tzinfo=UTC).timestamp() * 1000))
