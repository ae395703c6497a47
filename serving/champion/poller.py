"""The thread of each worker that keeps the board up to date: it asks where the aliases stand; every task follows."""

import threading
from time import monotonic

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import ConfigurationError, DatabaseUnreachableError, RegistryUnreachableError
from core.jobs.clock import Clock
from serving.champion.follower import AliasPoll, ChampionFollower, Dependencies
from serving.champion.model_cache import Bundles
from serving.champion.predictor import ALIAS
from serving.champion.state import ServingState
from serving.champion.task_watcher import TaskWatcher
from serving.runtime.alerts import Alerts
from serving.runtime.complaints import LogOnce
from serving.runtime.log_listener import WatchedLog
from serving.runtime.override_loader import Configured
from serving.runtime.periodic import PeriodicThread
from serving.runtime.prometheus import Metrics
from serving.runtime.reloads import Reloads
from training.models import catalog
from training.registry import client as registry

FIRST_POLL_SECONDS = 10.0


class Follower:
    """Polls every `alias_poll_seconds`. Requests never wait for it: they only read the board."""

    def __init__(
        self, settings: Settings, engine: sa.Engine, clock: Clock, board: ServingState, metrics: Metrics, alerts: Alerts
    ) -> None:
        self._settings = settings
        self._board = board
        self._metrics = metrics
        self._complaints = LogOnce()
        self._alerts = alerts
        self.watched: dict[str, WatchedLog] = {}
        """What is to be told of notices of stored tasks' logs, by the logs' names."""
        bundles = Bundles(settings, engine)
        self._means = Dependencies(
            engine, clock, board, bundles, metrics, self._complaints, alerts, self.watched, self.wake
        )
        configured = Configured(engine, settings.bundles, self._complaints)
        self._shelf = TaskWatcher(settings.tasks, self._complaints, configured.newest)
        self._reloads = Reloads(engine)
        self._followers: dict[str, ChampionFollower] = {}
        self._warmed: dict[str, Task] | None = None
        self._polled = threading.Event()
        self._rhythm = PeriodicThread("follower", settings.alias_poll_seconds, self.poll)
        self._warming = PeriodicThread("warming", settings.alias_poll_seconds, self._warm)

    def start(self) -> None:
        """Serves the last good models from disk, then begins to poll; returns after the first poll, or after 10 s."""
        self._take_tasks(restore=True)
        self._rhythm.start()
        self._polled.wait(FIRST_POLL_SECONDS)
        self._warming.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends the polling."""
        self._warming.stop(seconds)
        self._rhythm.stop(seconds)

    def wake(self) -> None:
        """Brings the next poll forward."""
        self._rhythm.wake()

    def poll(self) -> None:
        """Asks once where every champion stands, and follows."""
        due = self._due()
        if due:
            self._shelf.forget()
        self._take_tasks(restore=False)
        heard = self._hear()
        for name, follower in self._followers.items():
            if name in due:
                follower.begin_anew()
            follower.follow(heard.get(name, AliasPoll(reached=False)))
        self._polled.set()

    def _due(self) -> frozenset[str]:
        """The tasks that an administrator wants loaded again."""
        try:
            return self._reloads.due()
        except DatabaseUnreachableError:
            return frozenset()  # asked again at the next poll; `Configured` tells of it

    def _hear(self) -> dict[str, AliasPoll]:
        heard: dict[str, AliasPoll] = {}
        try:
            for name in self._followers:
                standing = registry.aliases(self._settings, name) or {}
                heard[name] = AliasPoll(reached=True, version=standing.get(ALIAS))
        except (RegistryUnreachableError, ConfigurationError) as error:
            self._complaints.open("registry", "The registry does not answer; the champions serve on.", error.problem)
        else:
            self._complaints.close("registry", "The registry answers again.")
            self._board.registry_heard = monotonic()
            self._metrics.polled.set_to_current_time()
        return heard

    def _warm(self) -> None:
        """Imports what the tasks' models need before one is crowned; neither requests nor polls wait for it."""
        if self._warmed is self._board.tasks:
            return
        self._warmed = self._board.tasks
        for task in self._warmed.values():
            catalog.warm(task)

    def _take_tasks(self, *, restore: bool) -> None:
        """Notices tasks that are new or changed."""
        tasks = self._shelf.read()
        if tasks is self._board.tasks:
            return
        before: dict[str, Task] = self._board.tasks
        for name, task in tasks.items():
            if task != before.get(name):
                self._followers[name] = ChampionFollower(task, self._means)
                if name not in before:
                    self._alerts.watch(name)
                if restore:
                    self._followers[name].restore()
        for name in set(before) - set(tasks):
            del self._followers[name]
            self._board.forget(name)
            self._alerts.watch(name)
        self._board.tasks = tasks
