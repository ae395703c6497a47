"""The task overrides in force, as a worker knows them: from the database, else as any worker here read them last."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from core.config import task_overrides
from core.config.task_overrides import Configuration
from core.error_translation import translate
from core.files import write_atomically
from serving.runtime.periodic import LogOnce

_FILE = "configurations.json"
_SUBJECT = "configurations"


class OverrideLoader:
    """Reads the overrides, and keeps a copy on disk for a worker that starts while the database is away."""

    def __init__(self, engine: sa.Engine, folder: Path, log_once: LogOnce) -> None:
        self._engine = engine
        self._path = folder / _FILE
        self._log_once = log_once
        self._known: dict[str, Configuration] | None = None

    def newest(self) -> Mapping[str, Configuration]:
        """The newest override of each task that has one."""
        try:
            newest = task_overrides.newest(self._engine)
        except Exception as error:
            explanation = translate(error)
            if explanation is None:
                raise
            self._log_once.problem(
                _SUBJECT, "New configurations cannot be read; the last known ones count.", explanation.problem
            )
            if self._known is None:
                self._known = last_known(self._path.parent)
            return self._known
        self._log_once.resolved(_SUBJECT, "Configurations can be read again.")
        # Every poll comes through here: the disk is written only when something changed.
        if newest != self._known:
            self._write(newest)
            self._known = newest
        return newest

    def _write(self, overrides: Mapping[str, Configuration]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = [asdict(override) for override in overrides.values()]
        write_atomically(self._path, json.dumps(rows, default=datetime.isoformat))


def last_known(folder: Path) -> dict[str, Configuration]:
    """The overrides that a worker of this machine read last; none where no worker ever read any."""
    try:
        rows = json.loads((folder / _FILE).read_text())
        kept = [Configuration(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]
    # A file that cannot be read is no worse than none: nothing was served from here before, or the files still count.
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {configuration.task: configuration for configuration in kept}
