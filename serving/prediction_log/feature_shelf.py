"""Features behind logged answers, on their way to Postgres: one small file each, until they are there."""

import json
import os
from dataclasses import asdict
from datetime import date
from pathlib import Path

from serving.prediction_log.logged import LoggedFeatures


class FeatureSpool:
    """The feature rows that wait in a folder. Several processes may share it: the files are named by their content."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._kept: set[str] = set()

    def keep(self, features: LoggedFeatures) -> None:
        """Puts a row down, the first time it is seen. Raises OSError when the disk does not take it."""
        if features.features_hash in self._kept:
            return
        draft = self._path(features).with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(features) | {"event_date": features.event_date.isoformat()}))
        draft.replace(self._path(features))
        self._kept.add(features.features_hash)

    def waiting(self) -> list[LoggedFeatures]:
        """The rows that are not known to be in Postgres."""
        rows = []
        for path in self._folder.glob("*.features"):
            try:
                told = json.loads(path.read_text())
            except FileNotFoundError:  # another process has stored it
                continue
            rows.append(LoggedFeatures(**(told | {"event_date": date.fromisoformat(told["event_date"])})))
        return rows

    def stored(self, features: LoggedFeatures) -> None:
        """Takes a row down: it is in Postgres."""
        self._path(features).unlink(missing_ok=True)

    def _path(self, features: LoggedFeatures) -> Path:
        return self._folder / f"{features.features_hash}.features"
