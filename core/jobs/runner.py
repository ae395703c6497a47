"""The frame of every job: parse, run, log one summary line, map the result to an exit code.

Exit codes: 0 done, nothing to do, or HOLD; 75 try again later; 42 configuration; 43 data refused; 1 a fault of ours.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from core.config import task_files, task_overrides
from core.config.settings import Settings, load_settings, point_caches
from core.config.tasks import Task
from core.error_translation import translate
from core.errors import (
    ConfigurationError,
    ContenderError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
    UnreachableError,
)
from core.jobs.clock import Clock, configured_clock, parse_as_of
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
    """What a job returns: a frozen dataclass with a summary in one sentence."""

    def sentence(self) -> str:
        """One line for a person: what was done, with its figures."""
        ...


Job = Callable[[Settings, Task, Clock], Report]


def exit_code(error: ContenderError) -> int:
    """The exit code by which a scheduler decides whether to try again."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), 1)


def run_job(step: str, job: Job, argv: Sequence[str] | None = None) -> int:
    """Run one step for the tasks named on the command line (every task, when none is) and return its exit code.

    A task that fails does not stop the others. The result is 75 where any failure may pass by itself, else the first
    failure's code, else 0.

    Args:
        step: the module, as in `python -m STEP`.
        job: the work for one task; the first line of its docstring describes the command.
        argv: the command line's arguments; None: the process's own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {step}", description=(job.__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--task",
        action="append",
        metavar="NAME",
        help="name of a file in the tasks folder, without .yaml; may be given again; without it, every task",
    )
    parser.add_argument("--as-of", help="run as of an ISO date or instant instead of now")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        point_caches(settings)
        clock = parse_as_of(arguments.as_of) if arguments.as_of else configured_clock(settings)
        names = arguments.task or task_files.task_names(settings.tasks)
        if not names:
            raise NotFoundError(f"There is no task in {settings.tasks}.", task_files.known_tasks([]))
    except ContenderError as error:
        return _log_failure(step, error)
    codes = [_attempt(step, partial(_run_for, job, settings, clock, name), task=name) for name in names]
    failures = [code for code in codes if code]
    # A retry costs the tasks that failed for good nothing, for a scheduler runs the step again for all of them.
    return TRY_AGAIN if TRY_AGAIN in failures else next(iter(failures), 0)


def run_command(name: str, about: str, work: Callable[[Settings], str], argv: Sequence[str] | None = None) -> int:
    """Run work that belongs to no task, log the sentence that it returns, and return the exit code.

    Args:
        name: the module, as in `python -m NAME`.
        about: describes the command in its help.
        work: the work; returns one line for a person.
        argv: the command line's arguments; None: the process's own.
    """
    argparse.ArgumentParser(prog=f"python -m {name}", description=about).parse_args(argv)

    def configured_work() -> str:
        settings = load_settings()
        configure_logs(settings.log_format)
        return work(settings)

    return _attempt(name, configured_work)


def _run_for(job: Job, settings: Settings, clock: Clock, name: str) -> str:
    override = task_overrides.active_configuration(settings, name)
    return job(settings, task_overrides.stored_task(settings.tasks, name, override), clock).sentence()


def _attempt(step: str, work: Callable[[], str], **context: str) -> int:
    try:
        sentence = work()
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        return _log_failure(step, known, **context)
    get_log(step).info(sentence, **context, exit_code=0)
    return 0


def _log_failure(step: str, error: ContenderError, **context: str) -> int:
    code = exit_code(error)
    get_log(step).error(error.problem, remedy=error.remedy, **context, exit_code=code)
    return code
