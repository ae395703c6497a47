"""The thread of each worker that sees to it that what waits in the outbox becomes versions in MLflow.

MLflow's client costs 100 MB and seconds of import, so the work is done by a process that ends with it
(`python -m training.register`), started by one worker at a time, only when something waits and MLflow has answered.
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
from serving.pushed.follower import PushedChampions
from serving.pushed.tasks import LiveTask
from serving.runtime.complaints import LogOnce
from serving.runtime.periodic import PeriodicThread
from training.learners import outbox
from training.ledger import auto_promote
from training.ledger import entries as ledger
from training.ledger.entries import CHAMPION
from training.registry import client as registry

LOOK_SECONDS = 5.0
PAUSE_SECONDS = 30.0
"""Between two processes that a worker starts."""
_LEASE = "registrar"
_LONGEST_SECONDS = 600.0


class Registrar:
    """Starts the job when it has something to do."""

    def __init__(
        self, engine: sa.Engine, settings: Settings, lives: Mapping[str, LiveTask], champions: PushedChampions
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._lives = lives
        self._champions = champions
        self._complaints = LogOnce()
        self._stopped = threading.Event()
        self._not_before = 0.0
        self._rhythm = PeriodicThread("registrar", LOOK_SECONDS, self.look)

    def start(self) -> None:
        """Begins, where an MLflow is configured."""
        if self._settings.mlflow_url:
            self._rhythm.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends, and the job with it: it goes on from there another time."""
        self._stopped.set()
        self._rhythm.stop(seconds)

    def look(self) -> None:
        """Starts the job if it is due, and waits for its end."""
        if monotonic() < self._not_before:
            return
        try:
            if self.is_due():
                with leases.hold(self._engine, _LEASE):
                    self._work()
        except BusyError:
            return  # another worker has started it
        except DatabaseUnreachableError:
            return  # the keeper tells of it

    def is_due(self) -> bool:
        """Whether MLflow answers, and something waits, or an alias stands elsewhere than the ledger says."""
        heard = self._champions.heard
        lives = [live for name, live in dict(self._lives).items() if name in heard]
        return bool(lives) and (
            outbox.is_due(self._engine, [live.log for live in lives])
            or any(self._is_astray(live, heard[live.log]) for live in lives)
        )

    def _is_astray(self, live: LiveTask, stands: int | None) -> bool:
        if auto_promote.is_due(self._engine, live.task, live.contender):
            return True
        if stands == self._known(live.log):
            return False
        with suppress(RegistryUnreachableError):  # what was heard may be older than what the ledger says
            aliases = registry.aliases(self._settings, live.log) or {}
            return aliases.get(CHAMPION) != self._known(live.log)
        return False

    def _known(self, task: str) -> int | None:
        standing = ledger.standing(self._engine, task).get(CHAMPION)
        return None if standing is None else standing.version

    def _work(self) -> None:
        child = subprocess.Popen(
            [sys.executable, "-m", "training.register"],
            stdin=subprocess.DEVNULL,
            env=child_environment(self._settings),
            process_group=0,  # Ctrl-C is for the service, which ends it
        )
        ends_by = monotonic() + _LONGEST_SECONDS
        while child.poll() is None and monotonic() < ends_by and not self._stopped.wait(0.1):
            pass
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(2)
            if child.poll() is None:
                child.kill()
                child.wait()
        self._not_before = monotonic() + PAUSE_SECONDS
        if child.returncode == 0:
            self._complaints.close("register", "Versions are registered again.")
        elif not self._stopped.is_set():
            self._complaints.open(
                "register", "Not every checkpoint became a version; they wait, and serving goes on.",
                f"exit code {child.returncode}",
            )  # fmt: skip
