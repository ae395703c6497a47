"""The thread of each worker that stores learners: whoever finds a checkpoint due and the lease free writes it."""

from collections.abc import Mapping
from time import monotonic

import sqlalchemy as sa

from core.db.engine import reachable
from core.errors import BusyError, DatabaseUnreachableError
from core.jobs import leases
from core.jobs.clock import Clock
from core.logs import get_log
from serving.pushed.tasks import LiveTask
from serving.runtime.complaints import LogOnce
from serving.runtime.periodic import PeriodicThread
from training.event_log.events import NewEvent
from training.learners import checkpoints, outbox
from training.learners.checkpoints import CheckpointData

LOOK_SECONDS = 1.0
_MEGABYTE = 2**20


class Checkpointer:
    """Writes checkpoints, lets go of what they hold, and pauses the learning of models that have grown too large.

    The first checkpoint of a session (a date, UTC) goes into the outbox, to become a version in MLflow.
    """

    def __init__(self, engine: sa.Engine, lives: Mapping[str, LiveTask], clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._lives = lives
        self._complaints = LogOnce()
        self._seen: dict[str, tuple[int, float]] = {}
        self._rhythm = PeriodicThread("keeper", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Begins."""
        self._rhythm.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends, and stores what was learned since, if nobody else does."""
        self._rhythm.stop(seconds)
        for name, live in self._lives.items():
            if name in self._seen:
                self._look_at(name, live, is_last=True)

    def look(self) -> None:
        """One look at every learner."""
        for name, live in self._lives.items():
            self._look_at(name, live, is_last=False)

    def _look_at(self, name: str, live: LiveTask, *, is_last: bool) -> None:
        try:
            stored = self._stored(live)
            if self._is_due(name, live, stored) or (is_last and live.live.learner.seq > stored):
                self._write(name, live, stored)
            self._complaints.close(f"checkpoint/{name}", "Checkpoints are written again.")
        except BusyError:
            return  # another worker writes it
        except DatabaseUnreachableError as error:
            self._complaints.open(
                f"checkpoint/{name}", "No checkpoint can be written; the log has every event.", error.problem
            )

    def _stored(self, live: LiveTask) -> int:
        """The event after which the newest checkpoint stands; what was said up to it need not be held."""
        newest = checkpoints.newest(self._engine, live.live.key)
        stored = 0 if newest is None else newest.last_seq
        with live.live.lock:
            live.live.learner.forget_said(min(stored, live.live.learner.seq))
        return stored

    def _is_due(self, name: str, live: LiveTask, stored: int) -> bool:
        seen, since = self._seen.get(name, (-1, 0.0))
        if seen != stored:
            self._seen[name] = (stored, monotonic())
            since = monotonic()
        ahead = live.live.learner.seq - stored
        rule = live.task.checkpoint
        return ahead >= rule.events or (ahead > 0 and monotonic() - since >= rule.seconds)

    def _write(self, name: str, live: LiveTask, stored: int) -> None:
        key = live.live.key
        with leases.hold(self._engine, f"learner/{key.log}/{key.contender}") as lease:
            if self._stored(live) > stored:
                return
            with live.live.as_logged() as learner:
                frozen = CheckpointData.of(learner)
                is_learning = learner.paused_at is None
            with reachable(), self._engine.begin() as connection:
                lease.check(connection)
                checkpoints.write(connection, key, frozen)
                outbox.ask(connection, key, frozen.seq, self._clock.now().date())
        self._seen[name] = (frozen.seq, monotonic())
        if is_learning and len(frozen.state) > live.task.budget_megabytes * _MEGABYTE:
            live.intake.take([NewEvent("pause")])
            get_log("serving").error(
                "A model has outgrown its budget: it learns no more, and serves on.",
                task=name,
                megabytes=round(len(frozen.state) / _MEGABYTE, 1),
                budget_megabytes=live.task.budget_megabytes,
                remedy="Raise budget_megabytes in the task file, or serve another contender; then resume learning.",
            )
