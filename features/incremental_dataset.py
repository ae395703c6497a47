"""The dataset of a task kept in memory from session to session: only what is new is read and built."""

from dataclasses import replace
from datetime import datetime

import polars as pl
import sqlalchemy as sa

from core.config.tasks import Task
from core.errors import NotFoundError
from features.dataset import Dataset, build, dataset_hash, lookback
from features.job import assemble
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries


class IncrementalDataset:
    """What the features job would build of a series as of each instant, instants in their order; nothing is stored.

    Rows that were built stay as they are while observations are only added at the end: `build` looks at nothing after
    a row's date but for its label. Whatever else becomes known (a restatement, a gap mended) is built from the start.
    """

    def __init__(self, engine: sa.Engine, task: Task, active: ActiveSeries) -> None:
        self._engine = engine
        self._task = task
        self._active = active
        self._known = pl.DataFrame()
        self._dataset: Dataset | None = None
        self._read_until: datetime | None = None

    def as_of(self, now: datetime) -> Dataset:
        """The dataset as-of an instant that is not before the last one.

        Raises NotFoundError when nothing was known then, DataRefusedError when it is too little for a single row.
        """
        if self._dataset is None or self._read_until is None or not self._is_continued(self._read_until, now):
            self._known = observations.read_as_of(self._engine, self._active.series, now)
            if self._known.is_empty():
                raise NotFoundError(
                    f"Nothing was known of the series {self._active.series} at {now.isoformat()}.",
                    "Begin at a later date.",
                )
            self._dataset = assemble(self._task, self._active, self._known)
        self._read_until = now
        return self._dataset

    def _is_continued(self, before: datetime, now: datetime) -> bool:
        """Reads what became known; False when it is more than later dates."""
        series = self._active.series
        came = observations.read_what_became_known(self._engine, series, before, now)
        if came.is_empty():
            return True
        # A restatement or a mended gap changes rows that were built: then all of it is built again.
        if came.columns != self._known.columns or came["event_date"][0] <= self._known["event_date"][-1]:
            return False
        self._known = self._known.vstack(came)
        assert self._dataset is not None, "`as_of` builds the first one"  # noqa: S101
        self._dataset = self._extended(self._dataset)
        return True

    def _extended(self, dataset: Dataset) -> Dataset:
        """The dataset with what follows its last row built, and that row again: it may have its label now."""
        task, last = self._task, dataset.table["event_date"][-1]
        tail = self._known.tail(lookback(task) + int((self._known["event_date"] >= last).sum()))
        as_of: datetime = self._known.select(pl.col("known_at").max()).item()
        # The last row is built again, too: its label may have become known.
        new = build(task, dataset.series, dataset.source, tail, as_of).table.filter(pl.col("event_date") >= last)
        table = dataset.table.filter(pl.col("event_date") < last).vstack(new)
        return replace(dataset, as_of=as_of, table=table, data_hash=dataset_hash(task, dataset.series, self._known))
