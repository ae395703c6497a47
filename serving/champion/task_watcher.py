"""The tasks as they are declared, read again when a file or a configuration is new: served without a restart."""

from collections.abc import Callable, Mapping
from pathlib import Path

from core.config.task_files import task_names
from core.config.task_overrides import Configuration
from core.config.tasks import Task
from core.errors import ContenderError
from serving.runtime.complaints import LogOnce
from training.models.task_check import load


class TaskWatcher:
    """The tasks of a folder as they stood when they last made sense. `configured` says what replaced their files."""

    def __init__(
        self, folder: Path, complaints: LogOnce, configured: Callable[[], Mapping[str, Configuration]] = dict
    ) -> None:
        self._folder = folder
        self._complaints = complaints
        self._configured = configured
        self._read_at: dict[str, tuple[int, int]] = {}
        self._tasks: dict[str, Task] = {}

    def read(self) -> dict[str, Task]:
        """Every task by name; one that cannot be used stays as it was declared before, with a line in the log."""
        configured = self._configured()
        numbers = {name: configuration.number for name, configuration in configured.items()}
        times = {name: (self._modified(name), numbers.get(name, 0)) for name in task_names(self._folder)}
        if times == self._read_at:
            return self._tasks
        tasks = {}
        for name in times:
            before = self._tasks.get(name)
            try:
                tasks[name] = load(self._folder, name, configured.get(name))
                self._complaints.close(f"task/{name}", f"The task {name} is read again.")
            except ContenderError as error:
                self._complaints.open(f"task/{name}", "A task cannot be used as declared.", str(error), task=name)
                if before is not None:
                    tasks[name] = before
        self._read_at, self._tasks = times, tasks
        return tasks

    def forget(self) -> None:
        """Lets the next call read everything again."""
        self._read_at = {}

    def _modified(self, name: str) -> int:
        try:
            return (self._folder / f"{name}.yaml").stat().st_mtime_ns
        except FileNotFoundError:
            return 0
