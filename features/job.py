"""The features job: from what is known of a task's series to a dataset in the lake."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import polars as pl
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.db.engine import open_engine, transaction
from core.errors import DataRefusedError, IntegrityError, NotFoundError
from core.jobs import run_keys
from core.jobs.clock import Clock
from core.jobs.run_keys import RunKey
from core.logs import get_log
from features import lake
from features.calendar_frame import on_calendar
from features.dataset import Dataset, build, dataset_hash, lookback
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries


@dataclass(frozen=True)
class FeaturesReport:
    """What the features job found or made. `ignored`: observations on dates that the calendar does not expect."""

    outcome: Literal["built", "unchanged"]
    series: str
    data_hash: str
    rows: int
    labelled: int
    first_date: date
    last_date: date
    ignored: int

    def sentence(self) -> str:
        """One line for a person."""
        head = "unchanged: " if self.outcome == "unchanged" else ""
        tail = f"; observations on unexpected dates, left out: {self.ignored:,}" if self.ignored else ""
        return (
            f"{head}{self.rows:,} rows of {self.series} from {self.first_date} to {self.last_date}, "
            f"{self.labelled:,} labelled (dataset {self.data_hash}){tail}"
        )


def run(settings: Settings, task: Task, clock: Clock) -> FeaturesReport:
    """Builds the dataset of what is known of the task's series, and keeps it in the lake.

    Raises NotFoundError when nothing was ingested, ConfigurationError when the task's features cannot be made of the
    series, DataRefusedError when its history is too short for a single row.
    """
    now = clock.now()
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        active = _active(engine, task)
        known = observations.read_as_of(engine, active.series, now)
        if known.is_empty():
            raise NotFoundError(
                f"Nothing was known of the series {active.series} at {now.isoformat()}.",
                f"Run the ingestion job first (python -m ingestion --task {task.name}), or take a later --as-of.",
            )
        key = RunKey(task.name, "features", str(known["event_date"][-1]), dataset_hash(task, active.series, known))
        with transaction(engine) as connection:
            # Of several jobs that start at once, one does the work and the others find it done.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"features/{task.name}"))))
            if report := _settled(settings, engine, active, key):
                return report
            report = _work(settings, engine, task, active, known)
            settled = {"rows": report.rows, "labelled": report.labelled, "ignored": report.ignored}
            run_keys.settle(connection, key, settled)
            return report


def _active(engine: sa.Engine, task: Task) -> ActiveSeries:
    active = observations.active(engine, task.name)
    if active is None:
        raise NotFoundError(
            f"Task {task.name} has no series yet.",
            f"Run the ingestion job first: python -m ingestion --task {task.name}",
        )
    return active


def _settled(settings: Settings, engine: sa.Engine, active: ActiveSeries, key: RunKey) -> FeaturesReport | None:
    """The report of the run that built these data before, or None when it is still, or again, to do."""
    before = run_keys.settled(engine, key)
    snapshot = None if before is None else lake.find(engine, key.task, key.inputs_hash)
    if before is None or snapshot is None:
        return None
    try:
        dataset = lake.read(settings, snapshot, active.source)
    except (NotFoundError, IntegrityError) as error:
        if (settings.lake / key.task).exists():  # a job of a cluster begins without a lake
            get_log("features").warning(f"{error.problem} They are built again.", task=key.task)
        return None
    lake.confirm(engine, snapshot)
    return _report("unchanged", dataset, before["ignored"])


def _work(
    settings: Settings, engine: sa.Engine, task: Task, active: ActiveSeries, known: pl.DataFrame
) -> FeaturesReport:
    """Builds and stores."""
    dataset = assemble(task, active, known)
    lake.store(settings, engine, dataset)
    return _report("built", dataset, len(known) - len(on_calendar(task, known)))


def assemble(task: Task, active: ActiveSeries, known: pl.DataFrame) -> Dataset:
    """The dataset of what is known, as-of the newest thing known in it, not as-of the hour at which the job ran.

    Raises DataRefusedError when the history is too short for a single row.
    """
    # Not the hour of the run: two runs over the same data make the same dataset.
    as_of: datetime = known.select(pl.col("known_at").max()).item()
    dataset = build(task, active.series, active.source, known, as_of)
    if dataset.table.is_empty():
        raise DataRefusedError(
            f"Not one of the {len(on_calendar(task, known)):,} observations of the series {dataset.series} has all "
            f"features of task {task.name}: they need {lookback(task):,} dates in a row without a gap.",
            "Ingest more history, or declare features with shorter windows.",
        )
    return dataset


def _report(outcome: Literal["built", "unchanged"], dataset: Dataset, ignored: int) -> FeaturesReport:
    table = dataset.table
    return FeaturesReport(
        outcome=outcome,
        series=dataset.series,
        data_hash=dataset.data_hash,
        rows=len(table),
        labelled=len(table) - table["label"].null_count(),
        first_date=table["event_date"][0],
        last_date=table["event_date"][-1],
        ignored=ignored,
    )
