"""Replaces the learner of a pushed task that is declared otherwise, or of which a reload was requested.

The new learner is restored and caught up while the old one learns and serves on; then one assignment swaps them.
"""

from collections.abc import MutableMapping
from dataclasses import replace

import sqlalchemy as sa

from core.config.settings import Settings
from core.errors import ContenderError, DatabaseUnreachableError
from core.logs import get_log
from serving.champion.task_watcher import Revision, TaskWatcher
from serving.pushed.tasks import LoadedTask, declared, open_task
from serving.runtime.periodic import LogOnce
from training.event_log.validation import RowValidator
from training.learners.factory import pushed_learner_key


class LearnerSwap:
    """Keeps `tasks` at their declarations. Which tasks there are is known at the start: a new file needs a restart."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        tasks: MutableMapping[str, LoadedTask],
        watcher: TaskWatcher,
        log_once: LogOnce,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._tasks = tasks
        self._watcher = watcher
        self._log_once = log_once
        self._revisions: dict[str, Revision] = {}

    def look(self) -> None:
        """Renews every task whose revision has changed. A long replay takes long: not for the poller's thread."""
        for name in list(self._tasks):
            revision = self._watcher.revision(name)
            before = self._revisions.get(name)
            if revision == before:
                continue
            try:
                self._renew(name, is_reload=revision.reloads != (0 if before is None else before.reloads))
                self._log_once.resolved(f"task/{name}", f"The task {name} is served as declared again.")
            except DatabaseUnreachableError:
                continue  # its revision is still new at the next look
            except ContenderError as error:
                self._log_once.problem(
                    f"task/{name}", "A task cannot be used as declared; the old one serves on.", str(error), task=name
                )
            # Also of one that was refused: it is tried again when something of it changes.
            self._revisions[name] = revision

    def _renew(self, name: str, *, is_reload: bool) -> None:
        old = self._tasks[name]
        task, contender = declared(self._settings, name, self._watcher.overrides.get(name))
        if not is_reload and pushed_learner_key(task, contender) == old.running.key:
            self._tasks[name] = replace(old, task=task, validator=RowValidator(task))
            return
        new = open_task(self._engine, task, contender)
        # Before the swap: a new contender replays the whole log, and its first request would wait for that.
        new.follow(None)
        if old.alias_target.current is not None and old.alias_target.current.frozen is not None:
            new = replace(new, alias_target=old.alias_target)  # a frozen version answers on until the next poll
        self._tasks[name] = new
        # Requests under way finish with the old one, whose connections go back when none refers to it any more; the
        # thread of its committer would refer to it for ever.
        old.committer.close()
        get_log("serving").info(
            "A learner was loaded.", task=name, contender=contender, last_event_id=new.running.learner.seq
        )
