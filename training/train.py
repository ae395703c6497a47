"""The training job: every contender walks on over the new rows, and the models that learned are registered."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date

import polars as pl
import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task, digest
from core.db.engine import open_engine
from core.jobs import leases, run_keys
from core.jobs.clock import Clock
from core.jobs.context import JobContext
from core.jobs.run_keys import RunKey
from features import lake
from features.dataset import Dataset
from training.backtest import state as walk_state
from training.backtest.replay import LearnerReplay, replay_log
from training.backtest.state import WalkState
from training.backtest.walk_forward import Walk, walk_all
from training.evaluation import outcomes, predictions
from training.event_log import dataset_log
from training.event_log import store as event_log
from training.learners import checkpoints, factory
from training.learners.checkpoints import CheckpointData
from training.registry.registration import register_walks
from training.registry.training_session import TrainingSession
from training.registry.versions import Version

LEASE_WAIT_SECONDS = 300.0


@dataclass(frozen=True)
class TrainReport:
    """What the training job did. `through`: the newest date with features; `rebuilt`: contenders whose models were."""

    series: str
    through: str
    contenders: int
    predictions: int
    labels: outcomes.LabelWrite
    rebuilt: tuple[str, ...]
    versions: tuple[Version, ...]
    is_new: bool

    def sentence(self) -> str:
        """One line for a person."""
        if not (self.is_new and self._did_something):
            return f"nothing to do: all contenders have been through {self.through} of {self.series}"
        restated = f" ({self.labels.restated} restated)" if self.labels.restated else ""
        rebuilt = f", {len(self.rebuilt)} rebuilt for other libraries" if self.rebuilt else ""
        return (
            f"{self.contenders} contenders through {self.through} of {self.series}: {self.predictions:,} predictions, "
            f"{self.labels.new + self.labels.restated:,} labels{restated}, {len(self.versions)} versions{rebuilt}"
        )

    @property
    def _did_something(self) -> bool:
        """Whether anything was new: as of a date that all contenders have gone past, nothing is."""
        return bool(self.predictions or self.labels.new or self.labels.restated or self.versions or self.rebuilt)


def run(settings: Settings, task: Task, clock: Clock) -> TrainReport:
    """Walks every contender through the newest dataset and registers a version of each that learned something.

    Killed at any point and run again, it ends as if it had run through.

    Raises:
        NotFoundError: there is no dataset of the task as it is declared now.
        RegistryUnreachableError: MLflow does not answer; what was learned is stored by then.

    """
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        dataset = lake.current(settings, engine, task, clock.now())
        key = _run_key(task, dataset)
        if run_keys.settled(engine, key) is not None:
            return _nothing(task, dataset)
        with leases.hold(engine, f"train/{task.name}", wait_seconds=LEASE_WAIT_SECONDS) as lease:
            # Again under the lease: another process may have done the work while this one waited for it.
            if run_keys.settled(engine, key) is not None:
                return _nothing(task, dataset)
            at = JobContext(settings, engine, lease, clock)
            report = advance(at, task, dataset)
            with at.writing() as connection:
                run_keys.settle(connection, key, {"versions": [version.version for version in report.versions]})
            return report


def advance(at: JobContext, task: Task, dataset: Dataset, session: TrainingSession | None = None) -> TrainReport:
    """Takes the contenders over the rows of the dataset that they have not seen, under the lease of `at`.

    `session`: what a process that trains session after session keeps in memory; it is brought up to date.
    """
    # First, since the learners read what they learn from the log.
    appended = dataset_log.append(at, task, dataset)
    if session is None or not session.states:
        walks, rebuilt = _from_store(at, task, dataset)
    else:
        walks, rebuilt = walk_all(task, dataset, session.states, session.replays(appended)), []
    recorded = None if session is None else session.labels
    with at.writing() as connection:
        labels = outcomes.record(connection, task, dataset, recorded)
        predicted = sum(
            predictions.record(connection, task, dataset.series, name, walk.predictions, at.clock.now())
            for name, walk in walks.items()
        )
        if session is None or session.is_due:
            store_walks(connection, task, dataset.series, walks)
    if session is not None:
        session.keep(dataset, walks)
    registered = register_walks(at, task, dataset, walks, session)
    return TrainReport(
        dataset.series,
        _through(dataset),
        len(walks),
        predicted,
        labels,
        tuple(sorted(rebuilt)),
        registered,
        is_new=True,
    )


def store_walks(connection: sa.Connection, task: Task, series: str, walks: Mapping[str, Walk]) -> None:
    """Stores the contenders' states and learners after their walks, in the caller's transaction."""
    for name, walk in walks.items():
        walk_state.write(connection, task, series, name, walk.state)
        if walk.learner is not None and walk.learner.predictions:
            checkpoints.write(
                connection, factory.stored_learner_key(task, series, name), CheckpointData.of(walk.learner)
            )


def _from_store(at: JobContext, task: Task, dataset: Dataset) -> tuple[dict[str, Walk], list[str]]:
    """The walks from the states in Postgres, and the contenders that were rebuilt for other libraries."""
    states = walk_state.read(at.engine, task, dataset.series)
    with closing(event_log.PinnedConnection(at.engine)) as connection:
        replays = _replays(at, task, dataset, states, connection)
        walks = walk_all(task, dataset, states, replays)
    rebuilt = [name for name, state in states.items() if state is not None and state.is_foreign and name not in replays]
    return walks, rebuilt + [name for name, replay in replays.items() if replay.is_rebuilt]


def _replays(
    at: JobContext,
    task: Task,
    dataset: Dataset,
    states: Mapping[str, WalkState | None],
    connection: event_log.PinnedConnection,
) -> dict[str, LearnerReplay]:
    """The learner of each contender that has one, with the events of the log that follow it."""
    last = dataset.table.filter(pl.col("label").is_not_null()).get_column("target_date").max()
    assert last is None or isinstance(last, date), "a column of dates"  # noqa: S101
    return {
        name: replay_log(at.engine, connection, task, dataset.series, name, last, has_walked=state is not None)
        for name, state in states.items()
        if factory.learns(task, name)
    }


def _run_key(task: Task, dataset: Dataset) -> RunKey:
    inputs = digest([task.config_hash, dataset.data_hash, walk_state.fingerprint(), checkpoints.present_fingerprint()])
    return RunKey(task.name, "train", _through(dataset), inputs)


def _through(dataset: Dataset) -> str:
    return str(dataset.table.get_column("event_date").max())


def _nothing(task: Task, dataset: Dataset) -> TrainReport:
    nothing = outcomes.LabelWrite(0, 0)
    return TrainReport(dataset.series, _through(dataset), len(task.contenders), 0, nothing, (), (), is_new=False)
