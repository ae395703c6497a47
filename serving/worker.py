"""The factory that each worker process calls after the fork, since threads do not survive a fork."""

from multiprocessing.util import Finalize
from typing import TYPE_CHECKING

from core.config.settings import load_settings
from core.jobs.clock import configured_clock
from core.logs import configure_logs
from web.server import restore_sigterm

if TYPE_CHECKING:
    from flask import Flask


def make() -> "Flask":
    """The app of this worker."""
    restore_sigterm()
    # Heavy imports only now: a SIGTERM during them ends the worker.
    from serving.app import EXTENSION, create_app

    settings = load_settings()
    configure_logs(settings.log_format)
    app = create_app(settings, configured_clock(settings))
    # The server has no hook for a worker's end; multiprocessing calls this after the last request was answered.
    Finalize(None, app.extensions[EXTENSION].stop, exitpriority=100)
    return app
