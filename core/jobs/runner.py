"""The shape every job shares: parse, run, log one summary line, map the result to an exit code.

Exit codes: 0 done, nothing to do, or HOLD; 75 try again later; 42 configuration; 43 data refused; 1 a fault of ours.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol

from core.config import task_files, task_overrides
from core.config.settings import Settings, load_settings, point_caches
from core.config.tasks import Task
from core.error_translation import explained
from core.errors import (
    ConfigurationError,
    ContenderError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from core.jobs.clock import Clock, clock_of, parse_as_of
from core.logs import configure_logs, get_log

TRY_AGAIN = 75
EXIT_CODES: dict[type[ContenderError], int] = {
    UnreachableError: TRY_AGAIN,
    ConfigurationError: 42,
    NotFoundError: 42,
    DataRefusedError: 43,
    IntegrityError: 43,
}


class Report(Protocol):
    """What a job returns: a frozen dataclass that can say itself in a sentence."""

    def sentence(self) -> str:
        """One line for a person: what was done, with its figures."""
        ...


Job = Callable[[Settings, Task, Clock], Report]


def exit_code(error: ContenderError) -> int:
    """The exit code that tells a scheduler whether to try again."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def run_job(step: str, job: Job, argv: Sequence[str] | None = None) -> int:
    """Runs one step for the tasks named on the command line (every task, when none is) and returns its exit code.

    A task that fails does not keep the others from their turn. Where it may help to try again (75), that is returned:
    what is done will be found done; else the first failure's.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {step}", description=(job.__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--task",
        action="append",
        metavar="NAME",
        help="name of a file in the tasks folder, without .yaml; may be given again; without it, every task",
    )
    parser.add_argument("--as-of", help="an ISO date or instant to stand at instead of now")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        point_caches(settings)
        clock = parse_as_of(arguments.as_of) if arguments.as_of else clock_of(settings)
    except ContenderError as error:
        return _failed(step, error, {})
    names = arguments.task or task_files.task_names(settings.tasks)
    if not names:
        none = NotFoundError(f"There is no task in {settings.tasks}.", task_files.known_tasks([]))
        return _failed(step, none, {})
    codes = [_run_for(step, job, settings, clock, name) for name in names]
    failures = [code for code in codes if code]
    return TRY_AGAIN if TRY_AGAIN in failures else next(iter(failures), 0)


def _run_for(step: str, job: Job, settings: Settings, clock: Clock, name: str) -> int:
    try:
        replaced = task_overrides.in_force(settings, name)
        task = task_overrides.stored_task(settings.tasks, name, replaced)
        report = job(settings, task, clock)
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        return _failed(step, told, {"task": name})
    get_log(step).info(report.sentence(), task=name, exit_code=0)
    return 0


def _failed(step: str, error: ContenderError, about: dict[str, str]) -> int:
    code = exit_code(error)
    get_log(step).error(error.problem, remedy=error.remedy, **about, exit_code=code)
    return code


def run_command(name: str, about: str, work: Callable[[Settings], str], argv: Sequence[str] | None = None) -> int:
    """Runs what is of no task, says what it did in one line, and returns its exit code as a job does."""
    argparse.ArgumentParser(prog=f"python -m {name}", description=about).parse_args(argv)
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        told = work(settings)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        return _failed(name, known, {})
    get_log(name).info(told, exit_code=0)
    return 0
