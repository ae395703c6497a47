"""The nights of a replay: each the jobs of the loop, one after the other, with the clock at the hour of its session."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from getpass import getuser
from time import perf_counter

import sqlalchemy as sa

import ingestion.job
from contender.replay import setup
from contender.replay import store as replays
from contender.replay.answers import Answers
from contender.replay.setup import ReplayWorkspace, night_key
from contender.replay.source import StoredSource
from core.db.engine import connect, reachable
from core.jobs import leases, run_keys
from core.jobs.calendars import final_at
from core.jobs.clock import FixedClock
from core.jobs.context import JobContext
from features.dataset import Dataset
from features.incremental_dataset import IncrementalDataset
from training import promote, train
from training.ledger import entries as ledger
from training.ledger import manual, unpin
from training.ledger.entries import CHAMPION, PROMOTED
from training.promote_summary import PromoteReport
from training.registry import versions
from training.registry.training_session import TrainingSession
from training.reports.explanations import REPLAY_BEGINS

_LEFT_SECONDS = leases.LEASE_SECONDS + 2


@dataclass
class ReplayRunner:
    """What is kept from night to night: connections, the lease, the dataset, the contenders, the champion's model.

    `seen` is the instant of the last night that this process has ingested; `seconds` says what each job has taken.
    """

    place: ReplayWorkspace
    at: JobContext
    original: sa.Engine
    followed: IncrementalDataset
    memory: TrainingSession
    answers: Answers
    seen: datetime | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def walk(self, night: date) -> PromoteReport:
        """One night: ingestion, features, training, promotion, and the champion's answer for the next date.

        Killed at any point and walked again, it ends as if it had been walked through. On the first one the contender
        with which the replay begins is given the title before the gate decides anything.
        """
        task = self.place.task
        clock = FixedClock(final_at(task, night))
        at = replace(self.at, clock=clock)
        with self._timed("ingestion"):
            source = StoredSource(self.original, self.place.standing, clock, self.seen)
            ingestion.job.ingest_from(at.engine, task, source, clock, at.lease)
            self.seen = clock.now()
        with self._timed("features"):
            dataset = self.followed.as_of(clock.now())
        with self._timed("training"):
            train.advance(at, task, dataset, self.memory)
        if self.place.champion and night == self.place.days[0]:
            self._crown(at, self.place.champion)
        with self._timed("promotion"):
            report = promote.promote(at.settings, at.engine, task, clock, log_holds=False, dataset=dataset)
            self.memory.holders = frozenset(name for name in (report.champion, report.challenger) if name)
        with self._timed("answers"):
            self._end(at, dataset, night)
        return report

    def rest(self) -> None:
        """Stores where the contenders stand, so that the next process goes on at once."""
        with self.at.writing() as connection:
            train.store_walks(connection, self.place.task, self.place.standing.series, self.memory.walks)

    @contextmanager
    def _timed(self, job: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self.seconds[job] = self.seconds.get(job, 0.0) + perf_counter() - began

    def _end(self, at: JobContext, dataset: Dataset, night: date) -> None:
        with at.writing() as connection:
            self.answers.give(connection, dataset, at.clock)
            run_keys.settle(connection, night_key(self.place.task, night), {"night": night.isoformat()})

    def _crown(self, at: JobContext, contender: str) -> None:
        """Gives the title by hand, and releases it at once: the gate is to take it away when it has the evidence.

        Once: where the night was cut off before, whoever holds the title has it by then.
        """
        task, version = self.place.task, self.memory.newest[contender]
        held = ledger.standing(at.engine, task.name).get(CHAMPION)
        if held is None:
            asked = manual.PromotionRequest(task.name, CHAMPION, version.version, getuser(), REPLAY_BEGINS, PROMOTED)
            manual.promote(at.engine, at.settings, asked, at.clock)
        if held is None or held.pinned:
            unpin.unpin(at.settings, task.name, at.clock, who=getuser(), why=REPLAY_BEGINS)


@contextmanager
def opened(original_schema: str, place: ReplayWorkspace, wait_seconds: float = _LEFT_SECONDS) -> Iterator[ReplayRunner]:
    """The nights of a place, as the last process left them. `original_schema`: where the task's own series is stored.

    Raises BusyError when another process walks this replay. One that was killed seems to, until its lease has run out;
    ConfigurationError where its removal was cut off.
    """
    url, task, series = place.settings.require_database_url(), place.task, place.standing.series
    original = connect(url, schema=original_schema)
    engine = connect(url, schema=place.settings.schema_name)
    try:
        with leases.hold(engine, replays.LEASE, wait_seconds=wait_seconds) as lease:
            with reachable(), engine.connect() as connection:
                replays.require_whole(connection, task.name)  # its removal may have been cut off since we looked
            holders = setup.holders(engine, task, setup.nights_done(engine, task))
            memory = TrainingSession(newest=versions.newest_of_all(engine, task, series), holders=holders)
            at = JobContext(place.settings, engine, lease, FixedClock(final_at(task, place.days[0])))
            answers = Answers(engine, task, memory)
            yield ReplayRunner(place, at, original, IncrementalDataset(engine, task, place.standing), memory, answers)
    finally:
        engine.dispose()
        original.dispose()
