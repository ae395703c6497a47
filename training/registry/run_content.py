"""What a run shows of a contender: its parameters, its metrics beside the baseline's, their course, and pictures."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from core.config.tasks import Task
from training.evaluation import losses, plots
from training.registry.tracking import Point
from training.registry.versions import Version

if TYPE_CHECKING:
    from features.dataset import Dataset

_BASELINE = "baseline_"
_PNG_COMPRESSION = 1  # a third faster to write, hardly larger


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


def metrics(task: Task, contender: str, scored: pl.DataFrame, points_each: int) -> list[Point]:
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
            points += [Point(prefix + key, value, step, at) for key, value in row.items() if value is not None]
    return points


def draw(task: Task, dataset: "Dataset", contender: str, scored: pl.DataFrame, folder: Path) -> None:
    """Writes the contender's pictures into a new folder."""
    folder.mkdir(parents=True)
    rows = losses.paired(scored, [contender, task.baseline])
    subject = plots.Subject(task, contender, dataset.series, dataset.source, rows)
    for name, figure in plots.draw(subject).items():
        figure.savefig(folder / f"{name}.png", pil_kwargs={"compress_level": _PNG_COMPRESSION})


def _milliseconds(day: date) -> int:
    """Since 1970; MLflow takes no time before that."""
    return max(0, int(datetime.combine(day, time(), tzinfo=UTC).timestamp() * 1000))
