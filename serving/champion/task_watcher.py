"""How tasks are declared: files and overrides, read again when one changes, and reloads; served without a restart."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from core.config.task_files import task_names
from core.config.task_overrides import Configuration
from core.config.tasks import Task
from core.errors import ContenderError, DatabaseUnreachableError
from serving.runtime.periodic import LogOnce
from training.models.task_check import load


class Revision(NamedTuple):
    """What changes when a task is to be loaded again."""

    modified_ns: int
    """When its file was written; 0 where it has none."""
    override: int
    """The number of its override; 0 where it has none."""
    reloads: int
    """How many reloads were requested since the first look."""


class TaskWatcher:
    """The declarations of all tasks, stored and pushed. `look` is for one thread; any other may read the rest.

    Args:
        folder: the task files.
        overrides: reads the overrides in force.
        reloads: reads how many reloads of each task were requested; may raise DatabaseUnreachableError.
        on_change: is called when an override or a reload is new.
    """

    def __init__(
        self,
        folder: Path,
        overrides: Callable[[], Mapping[str, Configuration]],
        reloads: Callable[[], Mapping[str, int]],
        log_once: LogOnce,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._read_overrides = overrides
        self._read_reloads = reloads
        self._log_once = log_once
        self._on_change = on_change
        self._seen: Mapping[str, int] | None = None
        self._reloads: Counter[str] = Counter()
        self._revisions: dict[str, Revision] = {}
        self.overrides: Mapping[str, Configuration] = {}
        """The overrides in force."""
        self.tasks: dict[str, Task] = {}
        """Every stored task by name; one that cannot be used stays as it was declared before. Replaced as a whole."""

    def look(self) -> frozenset[str]:
        """Reads what has changed; returns the tasks of which a reload was requested since the last look."""
        overrides, requested = self._read_overrides(), self._requested()
        is_changed = overrides != self.overrides or bool(requested)
        self.overrides = overrides
        self._reloads.update(requested)
        revisions = {name: self.revision(name) for name in task_names(self._folder)}
        if revisions != self._revisions:
            self.tasks, self._revisions = self._load(revisions), revisions
        # After the new declarations can be read: what is woken reads them at once.
        if is_changed:
            self._on_change()
        return requested

    def revision(self, name: str) -> Revision:
        """The revision of a task: of its file as it is now, of all else as of the last look."""
        override = self.overrides.get(name)
        number = 0 if override is None else override.number
        return Revision(self._modified_ns(name), number, self._reloads[name])

    def _load(self, names: Mapping[str, Revision]) -> dict[str, Task]:
        tasks = {}
        for name in names:
            before = self.tasks.get(name)
            try:
                tasks[name] = load(self._folder, name, self.overrides.get(name))
                self._log_once.resolved(f"task/{name}", f"The task {name} is read again.")
            except ContenderError as error:
                self._log_once.problem(f"task/{name}", "A task cannot be used as declared.", str(error), task=name)
                if before is not None:
                    tasks[name] = before
        return tasks

    def _requested(self) -> frozenset[str]:
        try:
            counts = self._read_reloads()
        except DatabaseUnreachableError:
            return frozenset()  # due at a later look, for counts only grow; `OverrideLoader` logs the outage
        # A worker that starts loads everything anyway: what was requested before its first look is not due.
        seen, self._seen = counts if self._seen is None else self._seen, counts
        return frozenset(name for name, count in counts.items() if count != seen.get(name, 0))

    def _modified_ns(self, name: str) -> int:
        try:
            return (self._folder / f"{name}.yaml").stat().st_mtime_ns
        except FileNotFoundError:
            return 0  # deleted since the folder was listed; loading it says so
