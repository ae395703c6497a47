"""The thread of each worker that has the pending registrations of the outbox made into versions in MLflow.

MLflow's client costs 100 MB and seconds of import, so a process does it that ends afterwards
(`python -m training.register`); one worker at a time starts it, when something is pending and MLflow has answered.
"""

import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

import sqlalchemy as sa

from core.config.settings import Settings, child_environment
from core.errors import BusyError, DatabaseUnreachableError, RegistryUnreachableError
from core.jobs import leases
from serving.champion.poller import AliasPoller
from serving.pushed.tasks import LoadedTask
from serving.runtime.periodic import LogOnce, PeriodicThread
from training.learners import outbox
from training.ledger import auto_promote
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.registry.base import POLL
from training.registry.factory import open_registry

LOOK_SECONDS = 5.0
# Between two jobs that a worker starts: a job that fails at once would take a processor for itself.
PAUSE_SECONDS = 30.0
_LEASE = "registrar"
_LONGEST_SECONDS = 600.0


class Registrar:
    """Starts the registration job when it has something to do."""

    def __init__(
        self, engine: sa.Engine, settings: Settings, tasks: Mapping[str, LoadedTask], poller: AliasPoller
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._tasks = tasks
        self._poller = poller
        self._log_once = LogOnce()
        self._stopped = threading.Event()
        self._not_before = 0.0
        self._thread = PeriodicThread("registrar", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends the thread and the job, which a later one continues."""
        self._stopped.set()
        self._thread.stop(seconds)

    def look(self) -> None:
        """Starts the job if it is due, and waits for its end."""
        if monotonic() < self._not_before:
            return
        try:
            if self.is_due():
                # One worker at a time: the job of each would take seconds of processor and 100 MB to find the same
                # work.
                with leases.hold(self._engine, _LEASE):
                    self._work()
        except BusyError:
            return  # another worker has started it
        except DatabaseUnreachableError:
            return  # `Checkpointer` logs it

    def is_due(self) -> bool:
        """Whether MLflow answers, and a registration is pending, or an alias is elsewhere than the ledger says."""
        polls = self._poller.polls
        tasks = [loaded for name, loaded in dict(self._tasks).items() if name in polls]
        return bool(tasks) and (
            outbox.is_due(self._engine, [loaded.log for loaded in tasks])
            or any(self._is_alias_due(loaded, polls[loaded.log].version) for loaded in tasks)
        )

    def _is_alias_due(self, loaded: LoadedTask, version: int | None) -> bool:
        """Whether the alias is to be moved, or was moved and the ledger does not know."""
        if auto_promote.is_due(self._engine, loaded.task, loaded.contender):
            return True
        if version == self._known(loaded.log):
            return False
        with suppress(RegistryUnreachableError):  # polled again: the ledger may be newer than the last poll
            aliases = open_registry(self._settings, POLL).aliases(loaded.log) or {}
            return aliases.get(CHAMPION) != self._known(loaded.log)
        return False

    def _known(self, task: str) -> int | None:
        alias = ledger.alias_states(self._engine, task).get(CHAMPION)
        return None if alias is None else alias.version

    def _work(self) -> None:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.register"],
            stdin=subprocess.DEVNULL,
            env=child_environment(self._settings),
            process_group=0,  # so that Ctrl-C reaches the service alone, which ends the job
        )
        # The lease is renewed while this waits: a job that hangs would keep every worker from starting another.
        ends_by = monotonic() + _LONGEST_SECONDS
        # Polled instead of waited for: `stop` must end the job at once.
        while child.poll() is None and monotonic() < ends_by and not self._stopped.wait(0.1):
            pass
        if child.poll() is None:
            # SIGTERM first, so that the job can end in order.
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(2)
            if child.poll() is None:
                child.kill()
                child.wait()
        self._not_before = monotonic() + PAUSE_SECONDS
        if child.returncode == 0:
            self._log_once.resolved("register", "Versions are registered again.")
        elif not self._stopped.is_set():
            self._log_once.problem(
                "register", "Not every checkpoint became a version; they wait, and serving goes on.",
                f"exit code {child.returncode}",
            )  # fmt: skip
