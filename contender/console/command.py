"""The frame of every command: its settings and clock, and its errors as messages with exit codes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

from contender.console.progress import ProgressReporter
from contender.console.signals import Stopped
from core.config.settings import Settings, load_settings, point_caches
from core.error_translation import translate
from core.jobs.clock import Clock, configured_clock
from core.jobs.runner import exit_code
from core.logs import configure_logs


@contextmanager
def command_context(console: Console) -> Iterator[tuple[Settings, Clock]]:
    """Settings and clock for a command; an expected error is printed and ends it with the exit code of its kind.

    An error without an explanation passes with its traceback: it is a bug.
    """
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        point_caches(settings)
        yield settings, configured_clock(settings)
    except Exception as error:
        known = translate(error)
        if known is None:
            raise
        ProgressReporter(console).failure(known.problem, known.remedy)
        # With the codes of the jobs, so that cron and Kubernetes treat `contender run` alike.
        raise typer.Exit(exit_code(known)) from None
    except Stopped as stopped:
        raise typer.Exit(stopped.exit_code) from None
    except KeyboardInterrupt:
        ProgressReporter(console).note("Stopped; what was done is kept. The same command goes on from here.")
        raise typer.Exit(Stopped(signal.SIGINT).exit_code) from None
