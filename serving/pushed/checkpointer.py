"""The thread of each worker that writes checkpoints of learners: one that is due, by the worker that gets the lease."""

from collections.abc import Mapping
from time import monotonic

import sqlalchemy as sa

from core.db.engine import transaction
from core.errors import BusyError, DatabaseUnreachableError
from core.jobs import leases
from core.jobs.clock import Clock
from core.logs import get_log
from serving.pushed.tasks import LoadedTask
from serving.runtime.periodic import LogOnce, PeriodicThread
from training.event_log.events import NewEvent
from training.learners import checkpoints, outbox
from training.learners.checkpoints import CheckpointData

LOOK_SECONDS = 1.0
_MEGABYTE = 2**20


class Checkpointer:
    """Writes checkpoints, frees the predictions that they hold, and pauses models that have outgrown their budget.

    The first checkpoint of a session (a date, UTC) goes into the outbox, to become a version in MLflow.
    """

    def __init__(self, engine: sa.Engine, tasks: Mapping[str, LoadedTask], clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._tasks = tasks
        self._log_once = LogOnce()
        self._seen: dict[str, tuple[int, float]] = {}
        self._thread = PeriodicThread("checkpointer", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends the thread, and stores what was learned since, unless another worker does."""
        self._thread.stop(seconds)
        for name, loaded in self._tasks.items():
            # A learner that was never looked at has learned nothing here: storing it would mean restoring it first.
            if name in self._seen:
                self._look_at(name, loaded, is_last=True)

    def look(self) -> None:
        """Looks once at every learner."""
        for name, loaded in self._tasks.items():
            self._look_at(name, loaded, is_last=False)

    def _look_at(self, name: str, loaded: LoadedTask, *, is_last: bool) -> None:
        try:
            stored = self._stored(loaded)
            if self._is_due(name, loaded, stored) or (is_last and loaded.running.learner.seq > stored):
                self._write(name, loaded, stored)
            self._log_once.resolved(f"checkpoint/{name}", "Checkpoints are written again.")
        except BusyError:
            return  # another worker writes it
        except DatabaseUnreachableError as error:
            self._log_once.problem(
                f"checkpoint/{name}", "No checkpoint can be written; the log has every event.", error.problem
            )

    def _stored(self, loaded: LoadedTask) -> int:
        """The last event of the newest checkpoint; the learner forgets its predictions up to there."""
        # The checkpoint holds them, and memory would grow with the log.
        newest = checkpoints.newest(self._engine, loaded.running.key)
        stored = 0 if newest is None else newest.last_seq
        with loaded.running.lock:
            loaded.running.learner.forget_predictions(min(stored, loaded.running.learner.seq))
        return stored

    def _is_due(self, name: str, loaded: LoadedTask, stored: int) -> bool:
        # Another worker may have written the newest one: its age counts from when this worker saw it.
        seen, since = self._seen.get(name, (-1, 0.0))
        if seen != stored:
            self._seen[name] = (stored, monotonic())
            since = monotonic()
        ahead = loaded.running.learner.seq - stored
        rule = loaded.task.checkpoint
        return ahead >= rule.events or (ahead > 0 and monotonic() - since >= rule.seconds)

    def _write(self, name: str, loaded: LoadedTask, stored: int) -> None:
        key = loaded.running.key
        with leases.hold(self._engine, f"learner/{key.log}/{key.contender}") as lease:
            if self._stored(loaded) > stored:
                return  # another worker wrote one before this one got the lease
            # After a restored backup the learner may know events that the log has not: such a state must not be stored.
            with loaded.running.verified() as learner:
                # Pickled under the learner's lock and stored without it: requests do not wait for Postgres.
                frozen = CheckpointData.of(learner)
                is_learning = learner.paused_at is None
            with transaction(self._engine) as connection:
                # In the transaction: a lease that was lost meanwhile must not let an older checkpoint be the newest.
                lease.check(connection)
                checkpoints.write(connection, key, frozen)
                # With the checkpoint: while MLflow is away the request for a version is not lost.
                outbox.request(connection, key, frozen.seq, self._clock.now().date())
        self._seen[name] = (frozen.seq, monotonic())
        if is_learning and len(frozen.state) > loaded.task.budget_megabytes * _MEGABYTE:
            # As an event in the log: every replica stops at the same row.
            loaded.committer.submit([NewEvent("pause")])
            get_log("serving").error(
                "A model has outgrown its budget: it learns no more, and serves on.",
                task=name,
                megabytes=round(len(frozen.state) / _MEGABYTE, 1),
                budget_megabytes=loaded.task.budget_megabytes,
                remedy="Raise budget_megabytes in the task file, or serve another contender; then resume learning.",
            )
