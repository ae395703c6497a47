"""The thread of each worker that polls the champion aliases of all tasks, and lets each task follow its own."""

import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from core.config.settings import Settings
from core.errors import ConfigurationError, RegistryUnreachableError
from serving.champion.predictor import ALIAS
from serving.champion.state import ServingState
from serving.champion.task_watcher import TaskWatcher
from serving.runtime.periodic import LogOnce, PeriodicThread
from serving.runtime.prometheus import Metrics
from training.registry.base import POLL
from training.registry.factory import open_registry

FIRST_POLL_SECONDS = 10.0


@dataclass(frozen=True)
class AliasPoll:
    """What MLflow answered about a task's champion alias: `version` None is an alias that does not exist."""

    reached: bool
    version: int | None = None


class FollowedTasks(Protocol):
    """The stored tasks, or the pushed ones."""

    def refresh(self, reloads: frozenset[str]) -> Collection[str]:
        """Takes over changed declarations and requested reloads; returns the names of the tasks."""
        ...

    def follow(self, name: str, poll: AliasPoll) -> None:
        """Brings what serves a task to what its alias names."""
        ...


class AliasPoller:
    """Polls every `alias_poll_seconds`. Requests never wait for it.

    Args:
        watcher: the declarations; looked at before each poll.
        followed: what follows; called by this thread alone.
    """

    def __init__(
        self,
        settings: Settings,
        state: ServingState,
        metrics: Metrics,
        watcher: TaskWatcher,
        log_once: LogOnce,
        followed: Iterable[FollowedTasks],
    ) -> None:
        self._settings = settings
        self._state = state
        self._metrics = metrics
        self._watcher = watcher
        self._log_once = log_once
        self._followed = tuple(followed)
        self._polled = threading.Event()
        self._thread = PeriodicThread("alias-poller", settings.alias_poll_seconds, self.poll)
        self.polls: Mapping[str, AliasPoll] = {}
        """The last poll of each task for which MLflow answered."""

    def start(self) -> None:
        """Starts to poll; returns after the first poll, or after 10 s."""
        self._thread.start()
        # With an end: where MLflow or a download is slow, the service starts with what it restored from disk.
        self._polled.wait(FIRST_POLL_SECONDS)

    def stop(self, seconds: float = 2.0) -> None:
        """Ends the thread after a poll that is under way."""
        self._thread.stop(seconds)

    def wake(self) -> None:
        """Brings the next poll forward."""
        self._thread.wake()

    def poll(self) -> None:
        """Polls every alias once, and lets every task follow."""
        reloads = self._watcher.look()
        # Every alias is polled before the first task follows: loading a model may take longer than a poll.
        names = [(tasks, name) for tasks in self._followed for name in tasks.refresh(reloads)]
        self.polls = self._ask(name for _, name in names)
        for tasks, name in names:
            try:
                tasks.follow(name, self.polls.get(name, AliasPoll(reached=False)))
                self._log_once.resolved(f"follow/{name}", f"The task {name} is followed again.")
            # Followers handle what they expect; a fault of one task must not keep the others from being followed.
            except Exception as fault:  # noqa: BLE001 (logged)
                self._log_once.problem(f"follow/{name}", "A task cannot be followed.", repr(fault), task=name)
        self._polled.set()

    def _ask(self, names: Iterable[str]) -> dict[str, AliasPoll]:
        polls: dict[str, AliasPoll] = {}
        problem = ""
        for name in names:
            try:
                versions = open_registry(self._settings, POLL).aliases(name) or {}
                polls[name] = AliasPoll(reached=True, version=versions.get(ALIAS))
            except ConfigurationError as error:
                problem = error.problem
            except RegistryUnreachableError as error:
                problem = error.problem
                break  # each further request would wait for the same timeout
        if problem:
            self._log_once.problem("registry", "MLflow does not answer; what serves now serves on.", problem)
        else:
            self._log_once.resolved("registry", "MLflow answers again.")
            self._state.registry_answered_at = monotonic()
            self._metrics.polled.set_to_current_time()
        return polls
