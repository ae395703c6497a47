"""The newest feature row of a task, read again only when there is a newer dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import connection
from core.db.pipeline_tables import datasets, decisions
from core.errors import DataRefusedError
from features.dataset import dataset_hash, declaration_hash, latest_row
from ingestion.store.observations import active, read_as_of
from serving.champion.predictor import Latest


@dataclass(frozen=True)
class DataVersion:
    """What the data of a task are at present: the newest dataset, and the evidence of the last decision.

    Attributes:
        source: where the series came from.
        as_of: the instant as of which the dataset was built.
        beats_baseline: yes, no or unproven, by contender.
    """

    series: str
    source: str
    data_hash: str
    as_of: datetime
    beats_baseline: Mapping[str, str]


def newest(engine: sa.Engine, task: Task, now: datetime) -> DataVersion | None:
    """The newest dataset of the task as it is declared now, built by `now`; None before the first."""
    series = active(engine, task.name)
    if series is None:
        return None
    built = (
        sa.select(datasets.c.data_hash, datasets.c.as_of)
        .where(
            datasets.c.task == task.name,
            datasets.c.series == series.series,
            datasets.c.feature_hash == declaration_hash(task),
            datasets.c.as_of <= now,
        )
        .order_by(datasets.c.as_of.desc(), datasets.c.last_date.desc())
        .limit(1)
    )
    # Two small queries and no feature row: every worker calls this at every poll.
    beats_baseline = decisions.c.evidence["beats_baseline"]
    decided = (
        sa.select(beats_baseline)
        .where(decisions.c.task == task.name, decisions.c.evidence.has_key("beats_baseline"))
        .order_by(decisions.c.id.desc())
        .limit(1)
    )
    with connection(engine) as opened:
        dataset = opened.execute(built).one_or_none()
        evidence = opened.execute(decided).scalar_one_or_none()
    if dataset is None:
        return None
    return DataVersion(series.series, series.source, dataset.data_hash, dataset.as_of, evidence or {})


def read(engine: sa.Engine, task: Task, data: DataVersion) -> Latest:
    """The newest feature row, by the code that builds datasets, from what was known at the dataset's instant.

    Raises DataRefusedError when the history is too short for the task's features.
    """
    observations = read_as_of(engine, data.series, data.as_of)
    row = latest_row(task, observations)
    if row is None:
        raise DataRefusedError(
            f"The history of {data.series} is too short for the features of {task.name!r}.",
            f"Run `contender ingest {task.name}`.",
        )
    # The hash of what was read here and not of the dataset: an observation that was known by then may have come since.
    return Latest(row, data.series, data.source, dataset_hash(task, data.series, observations))
