"""The lake: datasets as Parquet, each under the hash of what it was built from, and the table that lists them.

Snapshots are only added: an old one is the evidence for what was trained on it. Each file carries the hash of its own
content, so that a file that was changed since is detected.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import fetch_one, transaction
from core.db.pipeline_tables import datasets
from core.errors import IntegrityError, NotFoundError
from core.files import write_atomically
from features.dataset import KEYS, LABEL, Dataset, content_hash, declaration_hash
from ingestion.store import observations

TRAIN, PREDICT = "train.parquet", "predict.parquet"
DATASET, CONTENT = "contender.dataset", "contender.content"
"""Keys in a file's own metadata: the dataset that it is a part of, and the hash of what it holds."""


@dataclass(frozen=True)
class Snapshot:
    """A row of the table `datasets`: a feature table that was built and kept.

    `as_of` is when the newest of what it was built from became known: the first instant as-of which it can be read.
    """

    task: str
    data_hash: str
    series: str
    as_of: datetime
    rows: int
    first_date: date
    last_date: date
    feature_hash: str

    def folder(self, settings: Settings) -> Path:
        """Where its Parquet files are: `train` holds the labelled rows, `predict` those whose label is unknown."""
        return settings.lake / self.task / self.data_hash


def store(settings: Settings, engine: sa.Engine, dataset: Dataset) -> Snapshot:
    """Keeps a dataset of at least one row: its files first, each whole or not there at all, then its row in the table.

    Storing it again changes nothing.
    """
    dates = dataset.table["event_date"]
    snapshot = Snapshot(
        task=dataset.task,
        data_hash=dataset.data_hash,
        series=dataset.series,
        as_of=dataset.as_of,
        rows=len(dates),
        first_date=dates[0],
        last_date=dates[-1],
        feature_hash=dataset.feature_hash,
    )
    folder = snapshot.folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    labelled = dataset.table["label"].is_not_null()
    _write(dataset.table.filter(labelled), folder / TRAIN, dataset.data_hash)
    _write(dataset.table.filter(~labelled), folder / PREDICT, dataset.data_hash)
    # After the files: a row without them would name a dataset that cannot be read.
    confirm(engine, snapshot)
    return snapshot


def confirm(engine: sa.Engine, snapshot: Snapshot) -> None:
    """Records that the features job found this snapshot to be the task's dataset: `recorded_at` is when it last did."""
    statement = insert(datasets).values(asdict(snapshot))
    statement = statement.on_conflict_do_update(
        index_elements=[datasets.c.task, datasets.c.data_hash], set_={"recorded_at": sa.func.clock_timestamp()}
    )
    with transaction(engine) as connection:
        connection.execute(statement)


def find(engine: sa.Engine, task_name: str, data_hash: str) -> Snapshot | None:
    """The snapshot with this hash, or None when none was recorded."""
    return _first(engine, _snapshots(task_name).where(datasets.c.data_hash == data_hash))


def latest(settings: Settings, engine: sa.Engine, task_name: str, as_of: datetime | None = None) -> Dataset:
    """The newest dataset of the task's active series, of those that were known as-of `as_of`.

    Of the declaration that the features job worked by last: a task file that was changed, then changed back, has its
    first datasets again. Of two that are as new, the one that the job confirmed last. Raises NotFoundError when the
    features job has not run or the files are gone, IntegrityError when their content has changed.
    """
    active = observations.active(engine, task_name)
    if active is None:
        raise NotFoundError(
            f"Task {task_name} has no series yet.",
            f"Run the ingestion job first: python -m ingestion --task {task_name}",
        )
    of_series = _snapshots(task_name).where(datasets.c.series == active.series)
    last = _first(engine, of_series.order_by(datasets.c.recorded_at.desc()))
    snapshot = None
    if last is not None:
        newest = of_series.where(datasets.c.feature_hash == last.feature_hash).order_by(
            datasets.c.as_of.desc(), datasets.c.last_date.desc(), datasets.c.recorded_at.desc()
        )
        snapshot = _first(engine, newest if as_of is None else newest.where(datasets.c.as_of <= as_of))
    if snapshot is None:
        when = "" if as_of is None else f" as of {as_of.isoformat()}"
        raise NotFoundError(
            f"Task {task_name} has no dataset of the series {active.series}{when}.",
            f"Run the features job first (with the same --as-of, if any): python -m features --task {task_name}",
        )
    return read(settings, snapshot, active.source)


def current(settings: Settings, engine: sa.Engine, task: Task, as_of: datetime | None = None) -> Dataset:
    """The newest dataset as of an instant, provided that the task's declaration is still the one it was built from.

    Raises:
        NotFoundError: as `latest` does, or the task file has changed since the features job ran.
        IntegrityError: as `latest` does.
    """
    dataset = latest(settings, engine, task.name, as_of)
    if dataset.feature_hash != declaration_hash(task):
        raise NotFoundError(
            f"The newest dataset of task {task.name} was built from other features, another target or other dates "
            "than its file declares now.",
            f"Run the features job first: python -m features --task {task.name}",
        )
    return dataset


def read(settings: Settings, snapshot: Snapshot, source: str) -> Dataset:
    """The dataset as it was stored.

    Raises NotFoundError when its files are gone, IntegrityError when they do not hold what was recorded.
    """
    folder = snapshot.folder(settings)
    remedy = f"Build it again: python -m features --task {snapshot.task} --as-of {snapshot.as_of.isoformat()}"
    paths = [folder / name for name in (TRAIN, PREDICT)]
    try:
        parts = [pl.read_parquet(path) for path in paths]
        metadata = [pl.read_parquet_metadata(path) for path in paths]
        table = pl.concat(parts).sort("event_date")
        dates = table["event_date"]
    except FileNotFoundError:
        raise NotFoundError(f"The Parquet files of dataset {snapshot.data_hash} are not in {folder}.", remedy) from None
    except pl.exceptions.PolarsError as error:
        raise IntegrityError(f"The Parquet files in {folder} cannot be read: {error}.", remedy) from None
    if (len(dates), dates.min(), dates.max()) != (snapshot.rows, snapshot.first_date, snapshot.last_date):
        raise IntegrityError(f"The Parquet files in {folder} do not hold the rows that were recorded.", remedy)
    for path, part, found in zip(paths, parts, metadata, strict=True):
        if (found.get(DATASET), found.get(CONTENT)) != (snapshot.data_hash, content_hash(part)):
            raise IntegrityError(f"{path} does not hold what the features job wrote into it.", remedy)
    names = tuple(name for name in table.columns if name not in KEYS + LABEL)
    return Dataset(
        snapshot.task,
        snapshot.series,
        source,
        snapshot.as_of,
        table,
        names,
        snapshot.data_hash,
        snapshot.feature_hash,
    )


def _write(table: pl.DataFrame, path: Path, data_hash: str) -> None:
    metadata = {DATASET: data_hash, CONTENT: content_hash(table)}
    write_atomically(path, lambda file: table.write_parquet(file, metadata=metadata))


def _snapshots(task_name: str) -> sa.Select[tuple[object, ...]]:
    columns = [column for column in datasets.c if column.name != "recorded_at"]
    return sa.select(*columns).where(datasets.c.task == task_name)


def _first(engine: sa.Engine, statement: sa.Select[tuple[object, ...]]) -> Snapshot | None:
    row = fetch_one(engine, statement.limit(1))
    return None if row is None else Snapshot(**{**row._mapping, "as_of": row.as_of.astimezone(UTC)})
