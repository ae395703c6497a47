"""The job that stores what every learner has learned, and makes versions of it: `python -m training.checkpoint`.

The API stores learners as they learn, and once more when it ends. This job does it whether an API runs or not, and
then what waits in the outbox becomes versions in MLflow. Run twice, the second finds nothing to do.
"""

import sys
from dataclasses import dataclass

import sqlalchemy as sa

from core.config import task_overrides
from core.config.settings import Settings
from core.config.task_files import pushed_names
from core.db.engine import open_engine, transaction
from core.errors import ContenderError
from core.jobs import leases
from core.jobs.clock import Clock, configured_clock
from core.jobs.runner import run_command
from core.logs import get_log
from training import register
from training.learners import checkpoints, outbox
from training.learners.checkpoints import CheckpointData
from training.learners.factory import pushed_learner_factory, pushed_learner_key
from training.learners.running_learner import RunningLearner
from training.models.task_check import chosen
from training.register import RegisterReport

# A worker of the API may be writing a checkpoint at this moment.
WAIT_SECONDS = 30.0


@dataclass(frozen=True)
class CheckpointReport:
    """The event after which each learner was stored now; those whose newest checkpoint was new enough are left out."""

    stored: dict[str, int]
    failures: tuple[ContenderError, ...]
    registered: RegisterReport

    def sentence(self) -> str:
        """One line for a person."""
        stored = ", ".join(f"{name} after event {seq}" for name, seq in self.stored.items())
        failed = f"; {len(self.failures)} failed" if self.failures else ""
        return f"stored {stored or 'nothing: every learner is'}{failed}; {self.registered.sentence()}"


def store(settings: Settings, clock: Clock) -> CheckpointReport:
    """Stores what was learned since the newest checkpoints, then registers.

    A task that cannot be used does not keep the others from it.

    Raises:
        BusyError, DatabaseUnreachableError, RegistryUnreachableError: to be tried again.
    """
    stored: dict[str, int] = {}
    failures: list[ContenderError] = []
    with open_engine(settings.require_database_url(), schema=settings.schema_name) as engine:
        replaced = task_overrides.newest(engine)
        for name in pushed_names(settings.tasks):
            try:
                declared = task_overrides.pushed_task(settings.tasks, name, replaced.get(name))
                task, contender = chosen(declared, settings.model_name)
                wanted = pushed_learner_key(task, contender)
                live = RunningLearner(engine, wanted, pushed_learner_factory(task, wanted))
            except ContenderError as error:
                failures.append(error)
                continue
            if seq := _store(engine, live, clock):
                stored[f"{name}/{contender}"] = seq
    return CheckpointReport(stored, tuple(failures), register.run(settings, clock))


def _store(engine: sa.Engine, live: RunningLearner, clock: Clock) -> int:
    """Lets a learner learn the rest of the log, and stores it.

    Returns:
        The last event that it has learned; 0 when it was stored already.
    """
    name = f"learner/{live.key.log}/{live.key.contender}"
    try:
        with leases.hold(engine, name, wait_seconds=WAIT_SECONDS) as lease, live.at_head() as learner:
            newest = checkpoints.newest(engine, live.key)
            if learner.seq == (0 if newest is None else newest.last_seq):
                return 0
            data = CheckpointData.of(learner)
            # One transaction: a checkpoint without its row in the outbox would never become a version.
            with transaction(engine) as connection:
                lease.check(connection)
                checkpoints.write(connection, live.key, data)
                outbox.request(connection, live.key, data.seq, clock.now().date())
            return data.seq
    finally:
        live.close()


def run(settings: Settings) -> str:
    """Stores and registers; of several failures the first is raised, when all else is done."""
    report = store(settings, configured_clock(settings))
    failures = (*report.failures, *report.registered.failures)
    if not failures:
        return report.sentence()
    log = get_log("training.checkpoint")
    log.info(report.sentence())
    for failure in failures[1:]:
        log.error(failure.problem, remedy=failure.remedy)
    raise failures[0]


if __name__ == "__main__":
    sys.exit(run_command("training.checkpoint", __doc__ or "", run))
