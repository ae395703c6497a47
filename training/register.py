"""The job that makes versions in MLflow of what waits in the outbox: `python -m training.register`.

It goes through all pushed tasks and ends; `--task NAME` names one. The API starts it when something waits, and it may
be started by hand or by cron at any time: others that are started while one works end with 75. Killed at any point and
run again, it ends as if it had run through. Learning and serving do not wait for it.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from core.config import task_overrides
from core.config.pushed_tasks import PushedTask
from core.config.settings import Settings, load_settings
from core.config.task_files import pushed_names
from core.db.engine import open_engine, transaction
from core.error_translation import translate
from core.errors import ContenderError, UnreachableError
from core.jobs import leases
from core.jobs.clock import Clock, configured_clock
from core.jobs.context import JobContext
from core.jobs.runner import exit_code
from core.logs import configure_logs, get_log
from training.learners import outbox
from training.learners.factory import pushed_learner_key
from training.learners.outbox import PendingRegistration
from training.ledger import auto_promote
from training.ledger.entries import Move
from training.models.task_check import chosen
from training.registry import registration
from training.registry.versions import Version

LEASE = "register"


@dataclass(frozen=True)
class RegisterReport:
    """What became a version, how the alias `champion` moved, and what failed and waits for the next run."""

    versions: tuple[Version, ...]
    moves: tuple[Move, ...]
    failures: tuple[ContenderError, ...]

    def sentence(self) -> str:
        """One line for a person."""
        if not (self.versions or self.moves or self.failures):
            return "nothing to do: no checkpoint waits to be registered"
        made = [f"{one.task} {one.version} ({one.contender} {one.trained_through})" for one in self.versions]
        moved = [f"champion of {one.task}: {one.from_version or '-'} → {one.to_version}" for one in self.moves]
        failed = [f"{len(self.failures)} failed and wait on"] if self.failures else []
        return "; ".join([f"registered {', '.join(made) or 'nothing'}", *moved, *failed])


def run(settings: Settings, clock: Clock, only: str | None = None) -> RegisterReport:
    """Registers what waits, oldest first, and lets the aliases follow.

    What cannot be registered is passed over, for the next run.

    Args:
        settings: where the databases, the registry and the tasks are.
        clock: of the job.
        only: the name of one pushed task; all of them unless given.

    Raises:
        RegistryUnreachableError: MLflow does not answer.
        BusyError: another process registers.
    """
    versions: list[Version] = []
    moves: list[Move] = []
    failures: list[ContenderError] = []
    with (
        open_engine(settings.require_database_url(), schema=settings.schema_name) as engine,
        leases.hold(engine, LEASE) as lease,
    ):
        at = JobContext(settings, engine, lease, clock)
        replaced = task_overrides.newest(engine)
        for name in [only] if only else pushed_names(settings.tasks):
            try:
                declared = task_overrides.pushed_task(settings.tasks, name, replaced.get(name))
                task, contender = chosen(declared, settings.model_name)
            except ContenderError as error:
                failures.append(error)
                continue
            for request in outbox.waiting(engine, name):
                try:
                    versions.append(_register(at, task, contender, request, moves))
                except UnreachableError as error:
                    # The next request would wait for the same server: leave the rest to the next run.
                    _fail(at, request, error)
                    raise
                except ContenderError as error:
                    _fail(at, request, error)
                    failures.append(error)
            # Without anything to register as well: another contender may have been declared, or a move interrupted.
            moves += _promote(at, task, contender)
    return RegisterReport(tuple(versions), tuple(moves), tuple(failures))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job once and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.register", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--task", help="one pushed task; all of them unless given")
    only = parser.parse_args(argv).task
    log = get_log("register")
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        report = run(settings, configured_clock(settings), only)
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        log.error(known.problem, remedy=known.remedy, exit_code=exit_code(known))
        return exit_code(known)
    for failure in report.failures:
        log.error(failure.problem, remedy=failure.remedy)
    code = exit_code(report.failures[0]) if report.failures else 0
    log.info(report.sentence(), exit_code=code)
    return code


def _register(
    at: JobContext, task: PushedTask, contender: str, request: PendingRegistration, moves: list[Move]
) -> Version:
    version = registration.register_checkpoint(at, task, request)
    if request.key == pushed_learner_key(task, contender):
        moves += _promote(at, task, contender)
    # Last of all: where a version is settled, the alias that follows it is on it.
    with at.writing() as connection:
        outbox.settle(connection, request, version.version, at.clock.now())
    return version


def _promote(at: JobContext, task: PushedTask, contender: str) -> list[Move]:
    move = auto_promote.promote(at.engine, at.settings, task, contender, at.clock)
    return [] if move is None else [move]


def _fail(at: JobContext, request: PendingRegistration, error: ContenderError) -> None:
    with transaction(at.engine) as connection:
        outbox.fail(connection, request, str(error))


if __name__ == "__main__":
    sys.exit(main())
