"""The champions of all stored tasks: one follower a task, as tasks come, change and go."""

from core.config.tasks import Task
from serving.champion.follower import ChampionFollower, Dependencies
from serving.champion.poller import AliasPoll
from serving.champion.task_watcher import TaskWatcher
from training.models import catalog


class StoredChampions:
    """Follows every task that `watcher` knows. Called by the alias poller's thread, except for `warm`."""

    def __init__(self, watcher: TaskWatcher, deps: Dependencies) -> None:
        self._watcher = watcher
        self._deps = deps
        self._followers: dict[str, ChampionFollower] = {}
        self._warmed: object = None

    def restore(self) -> None:
        """Serves the last good models from disk, before the first poll."""
        for name in self.refresh(frozenset()):
            self._followers[name].restore()

    def refresh(self, reloads: frozenset[str]) -> list[str]:
        """Takes over new, changed and deleted tasks, and requested reloads; returns the names of the tasks."""
        tasks = self._watcher.tasks
        if tasks is not self._deps.state.tasks:
            self._take_over(tasks)
        for name in reloads & tasks.keys():
            self._followers[name].reload()
        return list(tasks)

    def follow(self, name: str, poll: AliasPoll) -> None:
        """Follows the champion of one task."""
        self._followers[name].follow(poll)

    def warm(self) -> None:
        """Imports what the tasks' models need, before one becomes champion: neither requests nor polls wait for it."""
        tasks = self._deps.state.tasks
        if tasks is not self._warmed:
            self._warmed = tasks
            for task in tasks.values():
                catalog.warm(task)

    def _take_over(self, tasks: dict[str, Task]) -> None:
        before = self._deps.state.tasks
        for name, task in tasks.items():
            if task != before.get(name):
                self._followers[name] = ChampionFollower(task, self._deps)
                if name not in before:
                    self._deps.alerts.reset(name)
        for name in before.keys() - tasks.keys():
            del self._followers[name]
            self._deps.state.forget(name)
            self._deps.alerts.reset(name)
        # Last: what failed above is done again at the next poll.
        self._deps.state.tasks = tasks
