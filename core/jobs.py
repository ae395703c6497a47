"""The shape every job shares: parse, run, log one summary line, map the result to an exit code.

Exit codes: 0 done, nothing to do, or HOLD; 75 try again later; 42 configuration; 43 data refused; 1 a fault of ours.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Protocol

from core import configurations
from core.clock import Clock, SystemClock, parse_as_of
from core.errors import (
    ConfigurationError,
    ContenderError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from core.faults import explained
from core.logs import configure_logs, get_log
from core.settings import Settings, load_settings, point_caches
from core.tasks import Task

EXIT_CODES: dict[type[ContenderError], int] = {
    UnreachableError: 75,
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
    """Runs one step for the task named on the command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m {step}", description=(job.__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--task", required=True, help="name of a file in the tasks folder, without .yaml")
    parser.add_argument("--as-of", help="an ISO date or instant to stand at instead of now")
    arguments = parser.parse_args(argv)
    log = get_log(step)
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        point_caches(settings)
        clock = parse_as_of(arguments.as_of) if arguments.as_of else SystemClock()
        replaced = configurations.in_force(settings, arguments.task)
        task = configurations.stored_task(settings.tasks, arguments.task, replaced)
        report = job(settings, task, clock)
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        code = exit_code(told)
        log.error(told.problem, remedy=told.remedy, task=arguments.task, exit_code=code)
        return code
    log.info(report.sentence(), task=arguments.task, exit_code=0)
    return 0
