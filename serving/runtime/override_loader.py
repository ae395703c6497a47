"""The configurations that count, as a worker knows them: by the database, else as it was heard last, by any worker."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from core.config import task_overrides
from core.config.task_overrides import Configuration
from core.error_translation import translate
from serving.runtime.complaints import LogOnce

_NOTE = "configurations.json"
_SUBJECT = "configurations"


class Configured:
    """What was heard last lies on disk as well, for a worker that starts while the database is away."""

    def __init__(self, engine: sa.Engine, folder: Path, complaints: LogOnce) -> None:
        self._engine = engine
        self._note = folder / _NOTE
        self._complaints = complaints
        self._heard: dict[str, Configuration] | None = None

    def newest(self) -> Mapping[str, Configuration]:
        """The newest configuration of each task that has one."""
        try:
            heard = task_overrides.newest(self._engine)
        except Exception as error:
            told = translate(error)
            if told is None:
                raise
            self._complaints.open(
                _SUBJECT, "It is not known whether tasks were configured anew; what was known counts.", told.problem
            )
            if self._heard is None:
                self._heard = last_heard(self._note.parent)
            return self._heard
        self._complaints.close(_SUBJECT, "Configurations can be read again.")
        if heard != self._heard:
            self._write(heard)
            self._heard = heard
        return heard

    def _write(self, heard: Mapping[str, Configuration]) -> None:
        self._note.parent.mkdir(parents=True, exist_ok=True)
        draft = self._note.with_suffix(f".{os.getpid()}.{id(self)}")
        draft.write_text(json.dumps([asdict(one) for one in heard.values()], default=datetime.isoformat))
        draft.replace(self._note)


def last_heard(folder: Path) -> dict[str, Configuration]:
    """What any worker of this machine heard last.

    Nothing where none ever heard anything: then nothing was served here either, and nothing is until one does.
    """
    try:
        rows = json.loads((folder / _NOTE).read_text())
        kept = [Configuration(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {configuration.task: configuration for configuration in kept}
