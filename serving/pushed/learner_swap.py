"""The thread of each worker that follows the declarations of pushed tasks, and the reloads that are asked of them.

A learner that has to be another one is restored and caught up first, while the old one learns and serves on; then it
takes its place in one step. The tasks themselves are those of the start: a new file is served after a restart.
"""

from collections.abc import MutableMapping
from dataclasses import replace

import sqlalchemy as sa

from core.config.settings import Settings
from core.config.task_overrides import Configuration
from core.errors import ContenderError, DatabaseUnreachableError
from core.logs import get_log
from serving.pushed import tasks as live_tasks
from serving.pushed.tasks import LiveTask
from serving.runtime.complaints import LogOnce
from serving.runtime.override_loader import Configured
from serving.runtime.periodic import PeriodicThread
from serving.runtime.reloads import Reloads
from training.event_log.validation import RowValidator
from training.learners.factory import pushed_learner_key


class LiveShelf:
    """Puts tasks that are declared anew, or are to be loaded again, into the place of those that serve."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        lives: MutableMapping[str, LiveTask],
        configured: Configured,
        complaints: LogOnce,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._lives = lives
        self._configured = configured
        self._complaints = complaints
        self._reloads = Reloads(engine)
        self._due: set[str] = set()
        self._read_at: dict[str, tuple[int, int]] = {}
        self._rhythm = PeriodicThread("live-tasks", settings.alias_poll_seconds, self.look)

    def start(self) -> None:
        """Begins."""
        self._rhythm.start()

    def stop(self, seconds: float = 2.0) -> None:
        """Ends, after the task that is being loaded."""
        self._rhythm.stop(seconds)

    def look(self) -> None:
        """One look at every task."""
        try:
            self._due |= self._reloads.due()
        except DatabaseUnreachableError:
            return  # `Configured` and the log's own threads tell of it
        configured = self._configured.newest()
        for name in list(self._lives):
            replaced = configured.get(name)
            read_at = (self._modified(name), 0 if replaced is None else replaced.number)
            if name not in self._due and self._read_at.get(name) == read_at:
                continue
            try:
                self._renew(name, replaced)
                self._complaints.close(f"task/{name}", f"The task {name} is served as declared again.")
            except DatabaseUnreachableError:
                continue  # looked at again, and still due
            except ContenderError as error:
                self._complaints.open(
                    f"task/{name}", "A task cannot be taken as declared; what it was serves on.", str(error), task=name
                )
            self._due.discard(name)
            self._read_at[name] = read_at

    def _renew(self, name: str, replaced: Configuration | None) -> None:
        old = self._lives[name]
        task, contender = live_tasks.declared(self._settings, name, replaced)
        is_due, is_same = name in self._due, pushed_learner_key(task, contender) == old.live.key
        if not is_due and is_same:
            self._lives[name] = replace(old, task=task, admission=RowValidator(task))
            return
        new = live_tasks.open_task(self._engine, task, contender)
        new.live.follow(None)
        if old.chosen.held is not None and old.chosen.held.frozen is not None:
            new = replace(new, chosen=old.chosen)  # a frozen version answers on until the alias is looked at again
        # Whoever is at work with the old one finishes there: its connections go back when nobody holds it any more, and
        # its intake's thread would hold it for ever.
        self._lives[name] = new
        old.intake.close()
        get_log("serving").info(
            "A learner was loaded.", task=name, contender=contender, last_event_id=new.live.learner.seq
        )

    def _modified(self, name: str) -> int:
        try:
            return (self._settings.tasks / f"{name}.yaml").stat().st_mtime_ns
        except FileNotFoundError:
            return 0
