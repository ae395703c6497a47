"""The newest feature row of a task, read again only when there is a newer dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from core.config.tasks import Task
from core.db.engine import reachable
from core.db.pipeline_tables import datasets, decisions
from core.errors import DataRefusedError
from features.dataset import dataset_hash, declaration_hash, latest_row
from ingestion.store.observations import active, read_as_of
from serving.champion.predictor import Latest


@dataclass(frozen=True)
class DataVersion:
    """What a task stands on: the dataset built last, where its series came from, and the evidence of the last decision.

    `beats_baseline` says of each contender: yes, no or unproven.
    """

    series: str
    source: str
    data_hash: str
    as_of: datetime
    beats_baseline: Mapping[str, str]


def newest(engine: sa.Engine, task: Task, now: datetime) -> DataVersion | None:
    """The newest dataset of the task as it is declared now, built by `now`; None before the first.

    A cheap question, asked every poll.
    """
    stands_on = active(engine, task.name)
    if stands_on is None:
        return None
    built = (
        sa.select(datasets.c.data_hash, datasets.c.as_of)
        .where(
            datasets.c.task == task.name,
            datasets.c.series == stands_on.series,
            datasets.c.feature_hash == declaration_hash(task),
            datasets.c.as_of <= now,
        )
        .order_by(datasets.c.as_of.desc(), datasets.c.last_date.desc())
        .limit(1)
    )
    told = decisions.c.evidence["beats_baseline"]
    decided = (
        sa.select(told)
        .where(decisions.c.task == task.name, decisions.c.evidence.has_key("beats_baseline"))
        .order_by(decisions.c.id.desc())
        .limit(1)
    )
    with reachable(), engine.connect() as connection:
        dataset = connection.execute(built).one_or_none()
        evidence = connection.execute(decided).scalar_one_or_none()
    if dataset is None:
        return None
    return DataVersion(stands_on.series, stands_on.source, dataset.data_hash, dataset.as_of, evidence or {})


def read(engine: sa.Engine, task: Task, data: DataVersion) -> Latest:
    """The newest feature row, by the code that builds datasets, from what was known at the dataset's instant.

    The hash is of what was read here: an observation that came late and was known by then belongs to it.
    """
    observations = read_as_of(engine, data.series, data.as_of)
    row = latest_row(task, observations)
    if row is None:
        raise DataRefusedError(
            f"The history of {data.series} is too short for the features of {task.name!r}.",
            f"Run `contender ingest {task.name}`.",
        )
    return Latest(row, data.series, data.source, dataset_hash(task, data.series, observations))
