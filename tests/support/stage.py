"""A stage for training and promotion: a small monthly task, a series made to order, and versions made to order."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl
import sqlalchemy as sa

import features.job
from core.config.settings import Settings
from core.config.tasks import Contender, Feature, Gate, Target, Task
from core.db.event_tables import events
from core.jobs import leases
from core.jobs.clock import FixedClock
from core.jobs.context import JobContext
from features import lake
from features.dataset import Dataset, content_hash, declaration_hash
from ingestion.store import observations
from ingestion.store.observations import ActiveSeries, Observation
from training import promote, train
from training.backtest.state import WalkState
from training.backtest.walk_forward import Walk
from training.evaluation import outcomes, predictions
from training.event_log import dataset_log
from training.models.fitted import Linear
from training.promote_summary import PromoteReport
from training.registry import registration
from training.registry.factory import open_registry
from training.registry.versions import Version
from training.train import TrainReport

SERIES = "stage"


def month(index: int) -> date:
    """The first day of the month `index` months after January 2000."""
    return date(2000 + index // 12, index % 12 + 1, 1)


def known(index: int) -> datetime:
    """When the value of a month is known: at the month's end."""
    return datetime.combine(month(index + 1), time(), tzinfo=UTC)


def a_task(**changes: object) -> Task:
    """A task that no other test has: three lags, one contender of each kind."""
    return Task(
        name=f"stage-{uuid.uuid4().hex[:8]}",
        title="What comes next on the stage?",
        series=SERIES,
        source="airline",
        frequency="month",
        start=date(2000, 1, 1),
        target=Target(kind="value"),
        features=tuple(Feature(transform="lag", parameters={"n": n}) for n in (1, 2, 3)),
        contenders={
            "naive": Contender(kind="baseline", procedure="naive"),
            "ridge": Contender(kind="batch", procedure="ridge", first_fit=12, refit_every=6),
            "linear": Contender(kind="incremental", procedure="river_linear_regression"),
        },
        baseline="naive",
        gate=Gate(alpha=0.05, block=1, min_rows=12),
    ).model_copy(update=changes)


def wave(n: int) -> list[float]:
    """Values that a linear model of three lags can follow and a naive forecast cannot."""
    random = np.random.default_rng(0)
    return [float(100 + 20 * np.sin(index * 1.2) + random.normal(0, 1)) for index in range(n)]


@dataclass
class Stage:
    """What a test does to a task: put months into its series, run its jobs, or make predictions and versions itself."""

    settings: Settings
    engine: sa.Engine
    task: Task = field(default_factory=a_task)
    months: int = 0
    rows: list[pl.DataFrame] = field(default_factory=list)

    @property
    def clock(self) -> FixedClock:
        """A day after the newest month is known."""
        return FixedClock(known(self.months) + timedelta(days=1))

    def put(self, values: Sequence[float]) -> None:
        """Records the values of the next months and builds the dataset."""
        received = [
            Observation(month(self.months + i), known(self.months + i), {"value": value})
            for i, value in enumerate(values)
        ]
        self.months += len(values)
        with self.engine.begin() as connection:
            observations.record(connection, SERIES, "airline", received, self.clock.now())
            if observations.active(self.engine, self.task.name) is None:
                self.activate(connection, SERIES)
        features.job.run(self.settings, self.task, self.clock)

    def activate(self, connection: sa.Connection, series: str) -> None:
        """Lets the task stand on a series from now on."""
        observations.activate(connection, self.task.name, ActiveSeries(series, "airline"), "test", self.clock.now())

    def train(self) -> TrainReport:
        """Runs the training job."""
        return train.run(self.settings, self.task, self.clock)

    def promote(self, *, log_holds: bool = False) -> PromoteReport:
        """Runs the promote job. Logging a look takes half a second, and a stage has many nights."""
        return promote.run(self.settings, self.task, self.clock, log_holds=log_holds)

    def aliases(self) -> dict[str, int]:
        """Where MLflow says that the aliases stand."""
        return open_registry(self.settings).aliases(self.task.name) or {}

    def move_by_hand(self, alias: str, version: int) -> None:
        """Does what a person does in MLflow's pages."""
        open_registry(self.settings).set_alias(self.task.name, alias, version)

    def workplace(self, lease: leases.Lease) -> JobContext:
        """What a job works with that holds this lease."""
        return JobContext(self.settings, self.engine, lease, self.clock)

    def came_true(self, labels: Sequence[float], **said: Sequence[float | None]) -> None:
        """The next months' labels, and what contenders said of them before."""
        begin, self.months = self.months, self.months + len(labels)
        dates = [month(begin + i) for i in range(len(labels))]
        table = pl.DataFrame(
            {
                "event_date": [month(begin + i - 1) for i in range(len(labels))] if begin else [month(0), *dates[:-1]],
                "target_date": dates,
                "in_1": [1.0] * len(dates),
                "label": [float(label) for label in labels],
                "label_known_at": [known(begin + i) for i in range(len(labels))],
            },
            schema_overrides={"label_known_at": pl.Datetime("us", "UTC")},
        )
        trained = [month(begin + i - 1) if begin + i else None for i in range(len(labels))]
        self.rows.append(table)
        lake.store(self.settings, self.engine, self.dataset(pl.concat(self.rows)))
        with self.engine.begin() as connection:
            if observations.active(self.engine, self.task.name) is None:
                self.activate(connection, SERIES)
            outcomes.record(connection, self.task, self.dataset(table))
            for name, values in said.items():
                rows = table.select("event_date", "target_date").with_columns(
                    pl.Series("trained_through", trained, dtype=pl.Date),
                    pl.Series("value", list(values), dtype=pl.Float64),
                )
                predictions.record(connection, self.task, SERIES, name, rows, self.clock.now())

    def dataset(self, table: pl.DataFrame, series: str = SERIES) -> Dataset:
        """A dataset of this table."""
        return Dataset(
            self.task.name, series, "airline", self.clock.now(), table, ("in_1",), content_hash(table)[:16],
            declaration_hash(self.task),
        )  # fmt: skip

    def versions(
        self, *contenders: str, value: float = 1.0, slope: float = 0.001, series: str = SERIES
    ) -> tuple[Version, ...]:
        """Registers a version of each contender, trained through the newest month: `value`, a little more for each.

        Without pictures: they take long.
        """
        table = pl.DataFrame({"in_1": [1.0, 2.0], "label": [1.0, None], "event_date": [month(0), month(1)]})
        state = WalkState(trained_through=month(self.months - 1), rows_trained=self.months)
        walks = {
            name: Walk(pl.DataFrame(), state, Linear((slope,), value + index / 100))
            for index, name in enumerate(contenders)
        }
        with leases.hold(self.engine, f"train/{self.task.name}") as lease:
            at = self.workplace(lease)
            unscored = replace(self.dataset(table, series), as_of=known(-1))
            return registration.register_walks(at, self.task, unscored, walks)


def logged(stage: Stage, series: str = SERIES) -> list[sa.Row[tuple[object, ...]]]:
    """What the task's log holds, in its order."""
    columns = [events.c[name] for name in ("seq", "kind", "event_id", "features", "target")]
    statement = sa.select(*columns).where(events.c.log == dataset_log.name(stage.task, series)).order_by(events.c.seq)
    with stage.engine.connect() as connection:
        return list(connection.execute(statement))


def restate(stage: Stage, index: int, value: float) -> None:
    """Another value of a past month becomes known, and the dataset is built again."""
    with stage.engine.begin() as connection:
        again = Observation(month(index), stage.clock.now() - timedelta(hours=1), {"value": value})
        observations.record(connection, SERIES, "airline", [again], stage.clock.now())
    features.job.run(stage.settings, stage.task, stage.clock)
