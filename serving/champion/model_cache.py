"""Model folders on disk: fetched once, and checked against the digest in Postgres before every use.

`bundles/TASK/DIGEST/` is a model folder; `bundles/TASK/last-good.json` names the one that served last, and the data it
predicted from. With it a worker that starts while MLflow and Postgres are both away serves what it served before.
"""

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import yaml

from core.config.settings import Settings
from core.db.engine import transaction
from core.errors import DataRefusedError, IntegrityError, NotFoundError, RegistryUnreachableError
from core.files import write_atomically
from features.dataset import DatasetRow
from serving.champion.predictor import Latest, ServedPrediction, predict
from training.registry import flavor, validation, versions
from training.registry.factory import open_registry
from training.registry.versions import Version

if TYPE_CHECKING:
    from training.models.catalog import Model

KEPT_FOLDERS = 3
_LAST_GOOD = "last-good.json"


@dataclass(frozen=True)
class LastGood:
    """What served last: all that an answer needs, without MLflow and Postgres."""

    version: Version
    latest: Latest
    beats_baseline: str


@dataclass(frozen=True)
class Loaded:
    """A model and the features it takes, in their order."""

    model: "Model"
    feature_names: tuple[str, ...]


class Bundles:
    """The model folders of one machine, shared by its workers."""

    def __init__(self, settings: Settings, engine: sa.Engine) -> None:
        self._settings = settings
        self._engine = engine

    def load(self, version: Version) -> Loaded:
        """Loads a version from disk, else from MLflow, else (missing or changed there) from Postgres.

        Raises:
            IntegrityError: the folder is not the one that was trained; nothing is unpickled then.
            DataRefusedError: the model cannot be loaded, or does not repeat its golden predictions.
            NotFoundError: the folder is nowhere.
            RegistryUnreachableError: MLflow does not answer, and Postgres does not have the folder.
        """
        folder = self._folder(version)
        # A copy that was changed on disk is replaced here, instead of being refused at every load.
        if folder.exists() and flavor.folder_digest(folder) != version.artifact_digest:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            self._fetch(version, folder)
        os.utime(folder)  # `_tidy` keeps the folders that were used last
        loaded = self.load_kept(version)
        self._tidy(version)
        return loaded

    def load_kept(self, version: Version) -> Loaded:
        """Loads a version from disk alone. Raises as `load` does."""
        folder = self._folder(version)
        if not folder.exists():
            raise NotFoundError(f"There is no copy of version {version.version} of {version.task!r} on this machine.")
        # Before anything is unpickled: unpickling runs whatever code the file names.
        _check_digest(folder, version)
        try:
            model = flavor.load_model(folder)
            names = _feature_names(folder)
            golden = predict(model, version.golden["rows"])
        except Exception as error:
            # Broad, because an unpickled object may raise anything, and what serves now must serve on.
            raise DataRefusedError(
                f"Version {version.version} of {version.task!r} cannot be loaded: {type(error).__name__}: {error}.",
                "Train it again with the libraries that are installed here.",
            ) from error
        _check_golden(golden, version)
        return Loaded(model, names)

    def keep(self, prediction: ServedPrediction) -> None:
        """Records what serves now as the last good."""
        latest = prediction.latest
        content = {
            "version": asdict(prediction.champion.version),
            "row": asdict(latest.row),
            "latest": {"series": latest.series, "source": latest.source, "data_hash": latest.data_hash},
            "beats_baseline": prediction.beats_baseline,
        }
        path = self._task_folder(prediction.task.name) / _LAST_GOOD
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(content, default=date.isoformat))

    def last_good(self, task: str) -> LastGood | None:
        """What served last, or None when nothing has. Raises IntegrityError when the file cannot be read."""
        path = self._task_folder(task) / _LAST_GOOD
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text())
            version = Version(**_dated(content["version"], "trained_through"))
            row = DatasetRow(**_dated(content["row"], "event_date", "target_date"))
            return LastGood(version, Latest(row=row, **content["latest"]), content["beats_baseline"])
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} cannot be read: {error}.", "Delete it; it is written again.") from error

    def _fetch(self, version: Version, folder: Path) -> None:
        """Puts a checked copy of the version's folder on disk, and one from MLflow into Postgres too."""
        # Fetched beside the place and renamed: another worker sees the whole folder or none.
        draft = folder.with_name(f".{uuid.uuid4().hex}")
        try:
            try:
                open_registry(self._settings).download(version.task, version.version, draft)
                _check_digest(draft, version)
            except (RegistryUnreachableError, NotFoundError, IntegrityError):
                # Postgres keeps a copy of each bundle: it outlives an artifact store that is lost or tampered with.
                content = versions.bundle(self._engine, version.artifact_digest)
                if content is None:
                    raise
                # The download may have left a part of the folder.
                shutil.rmtree(draft, ignore_errors=True)
                flavor.unpack(content, draft)
                _check_digest(draft, version)
            else:
                with transaction(self._engine) as connection:
                    versions.store_bundle(connection, version.artifact_digest, flavor.pack(draft))
            with suppress(OSError):  # another worker was quicker
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _tidy(self, version: Version) -> None:
        """Deletes all but the newest few folders of the task."""
        # A name with a dot is a draft that another worker is fetching.
        folders = [path for path in self._task_folder(version.task).iterdir() if path.is_dir() and path.name[0] != "."]
        for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT_FOLDERS:]:
            shutil.rmtree(path, ignore_errors=True)

    def _folder(self, version: Version) -> Path:
        return self._task_folder(version.task) / version.artifact_digest

    def _task_folder(self, task: str) -> Path:
        return self._settings.bundles / task


def _check_digest(folder: Path, version: Version) -> None:
    digest = flavor.folder_digest(folder)
    if digest != version.artifact_digest:
        raise IntegrityError(
            f"The artifact of version {version.version} of {version.task!r} has the digest {digest[:12]}…, and not "
            f"{version.artifact_digest[:12]}… as Postgres recorded at training: it was changed since.",
            "It is not loaded. Find out who wrote to the artifact store, then move the alias to another version.",
        )


def _feature_names(folder: Path) -> tuple[str, ...]:
    """The columns of the model's signature."""
    card = yaml.safe_load((folder / "MLmodel").read_text())
    return tuple(column["name"] for column in json.loads(card["signature"]["inputs"]))


def _check_golden(values: list[float | None], version: Version) -> None:
    """Raises DataRefusedError unless the model repeats the predictions that were recorded when it was trained."""
    if not validation.reproduces_golden_batch(version, values):
        raise DataRefusedError(
            f"Version {version.version} of {version.task!r} does not repeat the predictions it was recorded with.",
            "Its libraries may have changed since it was trained: train it again.",
        )


def _dated(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {**values, **{name: date.fromisoformat(values[name]) for name in names}}
