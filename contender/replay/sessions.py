"""The sessions of a replay: at each, the jobs of the pipeline run in turn with the clock at the instant it is final."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from getpass import getuser
from time import perf_counter

import sqlalchemy as sa

import ingestion.job
from contender.replay import setup, store
from contender.replay.champion_predictions import ChampionPredictor
from contender.replay.setup import ReplayWorkspace, session_key
from contender.replay.source import StoredSource
from core.db.engine import connection, open_engine
from core.jobs import leases, run_keys
from core.jobs.calendars import final_at
from core.jobs.clock import FixedClock
from core.jobs.context import JobContext
from features.dataset import Dataset
from features.incremental_dataset import IncrementalDataset
from training import promote, train
from training.ledger import entries as ledger
from training.ledger import manual
from training.ledger.entries import CHAMPION, PROMOTED
from training.promote_summary import PromoteReport
from training.registry import versions
from training.registry.training_session import TrainingSession
from training.reports.explanations import REPLAY_BEGINS

# Until the lease of a process that was killed has expired.
_WAIT_SECONDS = leases.LEASE_SECONDS + 2


@dataclass
class ReplayRunner:
    """Runs sessions one after the other, and keeps in memory what the next one needs.

    Attributes:
        workspace: the replay.
        at: its database, and the lease that fences what is written there.
        original: the database in which the task's own observations are.
        dataset: the dataset, extended by each session's row.
        memory: versions and learners of the contenders.
        predictor: makes the champion's predictions.
        seen: the instant of the last session that this process has ingested.
        seconds: how long each job has taken so far.

    """

    workspace: ReplayWorkspace
    at: JobContext
    original: sa.Engine
    dataset: IncrementalDataset
    memory: TrainingSession
    predictor: ChampionPredictor
    seen: datetime | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, session: date) -> PromoteReport:
        """Run one session: ingestion, features, training, promotion, and the champion's prediction for the next date.

        Killed at any point and run again, it ends as if it had not been.
        """
        task = self.workspace.task
        clock = FixedClock(final_at(task, session))
        at = replace(self.at, clock=clock)
        with self._timed("ingestion"):
            source = StoredSource(self.original, self.workspace.active, clock, self.seen)
            ingestion.job.ingest_from(at.engine, task, source, clock, at.lease)
            self.seen = clock.now()
        with self._timed("features"):
            dataset = self.dataset.as_of(clock.now())
        with self._timed("training"):
            train.advance(at, task, dataset, self.memory)
        # Before the gate, which would choose a first champion by itself.
        if self.workspace.champion and session == self.workspace.days[0]:
            self._set_first_champion(at, self.workspace.champion)
        with self._timed("promotion"):
            report = promote.promote(at.settings, at.engine, task, clock, log_holds=False, dataset=dataset)
            self.memory.holders = frozenset(name for name in (report.champion, report.challenger) if name)
        with self._timed("answers"):
            self._finish(at, dataset, session)
        return report

    def rest(self) -> None:
        """Store the state of the contenders, so that the next process need not rebuild it."""
        with self.at.writing() as connection:
            train.store_walks(connection, self.workspace.task, self.workspace.active.series, self.memory.walks)

    @contextmanager
    def _timed(self, job: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self.seconds[job] = self.seconds.get(job, 0.0) + perf_counter() - began

    def _finish(self, at: JobContext, dataset: Dataset, session: date) -> None:
        # The prediction and the mark that the session is finished, in one transaction: both or neither.
        with at.writing() as connection:
            self.predictor.predict(connection, dataset, at.clock)
            run_keys.settle(connection, session_key(self.workspace.task, session), {"night": session.isoformat()})

    def _set_first_champion(self, at: JobContext, contender: str) -> None:
        """Make a contender champion as a person would, and release the pin at once: the gate may replace it.

        Where the session was cut off after that, the alias is left as it is.
        """
        task, version = self.workspace.task, self.memory.newest[contender]
        held = ledger.alias_states(at.engine, task.name).get(CHAMPION)
        if held is None:
            request = manual.PromotionRequest(task.name, CHAMPION, version.version, getuser(), REPLAY_BEGINS, PROMOTED)
            manual.promote(at.engine, at.settings, request, at.clock)
        if held is None or held.pinned:
            manual.release_pins(at.settings, task.name, at.clock, who=getuser(), why=REPLAY_BEGINS)


@contextmanager
def open_runner(
    original_schema: str, workspace: ReplayWorkspace, wait_seconds: float = _WAIT_SECONDS
) -> Iterator[ReplayRunner]:
    """A runner that goes on from what the last process has stored, under the lease of the replay.

    Args:
        original_schema: the schema in which the task's own observations are.
        workspace: the replay.
        wait_seconds: how long to wait for the lease.

    Raises:
        BusyError: another process runs this replay.
        ConfigurationError: the removal of the replay was interrupted.

    """
    url, task, series = workspace.settings.require_database_url(), workspace.task, workspace.active.series
    with (
        open_engine(url, schema=original_schema) as original,
        open_engine(url, schema=workspace.settings.schema_name) as engine,
        leases.hold(engine, store.LEASE, wait_seconds=wait_seconds) as lease,
    ):
        with connection(engine) as opened:
            # Again, under the lease: another process may have begun to remove the replay since `setup.prepare`.
            store.require_not_removing(opened, task.name)
        holders = setup.alias_holders(engine, task, setup.finished_sessions(engine, task))
        memory = TrainingSession(newest=versions.newest_of_all(engine, task, series), holders=holders)
        at = JobContext(workspace.settings, engine, lease, FixedClock(final_at(task, workspace.days[0])))
        dataset = IncrementalDataset(engine, task, workspace.active)
        yield ReplayRunner(workspace, at, original, dataset, memory, ChampionPredictor(engine, task, memory))
