"""The task files, read again when one changes: a new task is served without a restart."""

from pathlib import Path

from core.errors import ContenderError
from core.task_files import task_names
from core.tasks import Task
from serving.complaints import Complaints
from training.declarations import load


class TaskShelf:
    """The tasks of a folder as they stood when they last made sense."""

    def __init__(self, folder: Path, complaints: Complaints) -> None:
        self._folder = folder
        self._complaints = complaints
        self._read_at: dict[str, int] = {}
        self._tasks: dict[str, Task] = {}

    def read(self) -> dict[str, Task]:
        """Every task by name; a file that cannot be used leaves what it said before, and a line in the log."""
        times = {name: self._modified(name) for name in task_names(self._folder)}
        if times == self._read_at:
            return self._tasks
        tasks = {}
        for name in times:
            before = self._tasks.get(name)
            try:
                tasks[name] = load(self._folder, name)
                self._complaints.close(f"task/{name}", f"The task file of {name} is read again.")
            except ContenderError as error:
                self._complaints.open(f"task/{name}", "A task file cannot be used.", str(error), task=name)
                if before is not None:
                    tasks[name] = before
        self._read_at, self._tasks = times, tasks
        return tasks

    def _modified(self, name: str) -> int:
        try:
            return (self._folder / f"{name}.yaml").stat().st_mtime_ns
        except FileNotFoundError:
            return 0
