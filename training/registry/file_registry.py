"""A model registry and a tracker in a folder, for tests: what they promise is what MLflow's keep, without a server.

`CONTENDER_MLFLOW_URL=file:///FOLDER` selects them (`training.registry.factory`). Several processes may share a folder.
It has no pages, no users, no search and no clean-up, and reads a whole file for every question: not for production.

    FOLDER/models/NAME.json        description, aliases, versions
    FOLDER/experiments/NAME.json   the runs of an experiment by id, each with its key and status
    FOLDER/runs/ID/run.json        what a run shows, beside its folder `artifacts`
"""

import fcntl
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from core.errors import ConfigurationError, NotFoundError, RegistryUnreachableError
from training.registry.base import KEY, MODEL, LoggedRun, MetricPoint, RegisteredVersion, RunRecord, require_name

if TYPE_CHECKING:
    from features.dataset import Dataset

_MODELS, _EXPERIMENTS, _RUNS = "models", "experiments", "runs"
_RUNNING, _FINISHED = "RUNNING", "FINISHED"


@dataclass(frozen=True)
class StoredRun:
    """A run as a reader finds it. `inputs`: name and digest of each dataset; `artifacts`: the folder of its files."""

    run_id: str
    name: str
    status: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: tuple[MetricPoint, ...]
    inputs: tuple[tuple[str, str], ...]
    artifacts: Path


class FileRegistry:
    """`training.registry.base.ModelRegistry` in a folder, and what a person can do in MLflow's pages besides."""

    def __init__(self, url: str) -> None:
        self._store = _Store(url)

    def aliases(self, model: str) -> dict[str, int] | None:
        found = self._store.read(_MODELS, model)
        return None if found is None else dict(found["aliases"])

    def ensure_model(self, model: str, description: str) -> None:
        with self._store.locked():
            if self._store.read(_MODELS, model) is None:
                self._store.write(_MODELS, model, {"description": description, "aliases": {}, "versions": []})

    def create_version(self, model: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str) -> int:
        with self._store.locked():
            found = self._store.read(_MODELS, model)
            if found is None:
                raise NotFoundError(f"MLflow has no registered model {model!r} any more.", "Run training again.")
            number = len(found["versions"]) + 1  # deleted versions stay in the list, so that no number comes twice
            made = {"run_id": run_id, "source": source, "tags": dict(tags), "description": description}
            found["versions"].append(made)
            self._store.write(_MODELS, model, found)
        return number

    def versions_above(self, model: str, above: int) -> list[RegisteredVersion]:
        return [version for version in self._versions(model) if version.version > above]

    def newest_versions(self, model: str, limit: int) -> list[RegisteredVersion]:
        return self._versions(model)[:limit]

    def find(self, model: str, version: int) -> RegisteredVersion | None:
        return next((one for one in self._versions(model) if one.version == version), None)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        with self._store.locked():
            found = self._store.read(_MODELS, model)
            if found is None or self.find(model, version) is None:
                raise NotFoundError(
                    f"MLflow has no version {version} of {model!r}: it was deleted.",
                    "Restore it, or train until there is a newer one.",
                )
            found["aliases"][alias] = version
            self._store.write(_MODELS, model, found)

    def delete_alias(self, model: str, alias: str) -> None:
        """Takes an alias away."""
        with self._store.locked():
            found = self._existing(model)
            found["aliases"].pop(alias, None)
            self._store.write(_MODELS, model, found)

    def delete_version(self, model: str, version: int) -> None:
        """Removes a version and the aliases on it."""
        with self._store.locked():
            found = self._existing(model)
            found["versions"][version - 1] = None
            found["aliases"] = {alias: number for alias, number in found["aliases"].items() if number != version}
            self._store.write(_MODELS, model, found)

    def delete_model(self, model: str) -> None:
        with self._store.locked():
            self._store.path(_MODELS, model).unlink(missing_ok=True)

    def download(self, model: str, version: int, folder: Path) -> Path:
        found = self.find(model, version)
        if found is None:
            raise NotFoundError(f"MLflow has no version {version} of {model!r}.", "Look in MLflow, or train again.")
        shutil.rmtree(folder, ignore_errors=True)
        source = _folder_of(found.source)
        if not any(source.rglob("*")):
            raise NotFoundError(f"Version {version} of {model!r} has no files at {found.source}.", "Train again.")
        shutil.copytree(source, folder)
        return folder

    def artifacts_of(self, run_id: str) -> str | None:
        folder = self._store.run_folder(run_id)
        return (folder / "artifacts").as_uri() if folder.exists() else None

    def has_experiment(self, name: str) -> bool:
        return self._store.read(_EXPERIMENTS, name) is not None

    def delete_experiment(self, name: str) -> None:
        with self._store.locked():
            for run_id in (self._store.read(_EXPERIMENTS, name) or {}).get("runs", {}):
                # As in MLflow, the record of a deleted run can still be read by its id.
                shutil.rmtree(self._store.run_folder(run_id) / "artifacts", ignore_errors=True)
            self._store.path(_EXPERIMENTS, name).unlink(missing_ok=True)

    def description(self, model: str) -> str:
        """The description of a registered model."""
        described: str = self._existing(model)["description"]
        return described

    def runs(self, experiment: str) -> list[StoredRun]:
        """The runs of an experiment in the order in which they were begun; none when there is no experiment."""
        found = self._store.read(_EXPERIMENTS, experiment) or {"runs": {}}
        return [self._run(run_id, listed["status"]) for run_id, listed in found["runs"].items()]

    def _run(self, run_id: str, status: str) -> StoredRun:
        folder = self._store.run_folder(run_id)
        shown = json.loads((folder / "run.json").read_text())
        return StoredRun(
            run_id=run_id,
            name=shown["name"],
            status=status,
            tags=shown["tags"],
            params=shown["params"],
            metrics=tuple(MetricPoint(**point) for point in shown["metrics"]),
            inputs=tuple((name, digest) for name, digest in shown["inputs"]),
            artifacts=folder / "artifacts",
        )

    def _existing(self, model: str) -> dict[str, Any]:
        found = self._store.read(_MODELS, model)
        if found is None:
            raise NotFoundError(f"There is no registered model {model!r}.", "See which there are.")
        return found

    def _versions(self, model: str) -> list[RegisteredVersion]:
        listed = (self._store.read(_MODELS, model) or {"versions": []})["versions"]
        return [
            RegisteredVersion(number, made["run_id"], made["source"], made["tags"])
            for number, made in reversed(list(enumerate(listed, start=1)))
            if made is not None
        ]


class FileTracker:
    """`training.registry.base.RunTracker` in a folder."""

    def __init__(self, url: str, experiment: str, dataset: "Dataset | None") -> None:
        self._store = _Store(url)
        self._experiment = experiment
        self._inputs = [] if dataset is None else [(dataset.series, dataset.data_hash)]
        with self._store.locked():
            found = self._store.read(_EXPERIMENTS, experiment)
            if found is None:
                found = {"runs": {}}
                self._store.write(_EXPERIMENTS, experiment, found)
        runs: dict[str, dict[str, str]] = found["runs"]
        self._unfinished = {run["key"]: run_id for run_id, run in runs.items() if run["status"] == _RUNNING}

    def log(self, record: RunRecord) -> LoggedRun:
        run_id = self._unfinished.get(record.key) or self._create(record)
        folder = self._store.run_folder(run_id)
        shown = json.loads((folder / "run.json").read_text())
        changed = {
            name
            for name in shown["params"].keys() & record.params.keys()
            if shown["params"][name] != record.params[name]
        }
        if changed:
            raise ConfigurationError(f"MLflow refused: parameters {sorted(changed)} are set.", "Look at the run.")
        shown["params"] |= record.params
        shown["metrics"] += [asdict(point) for point in record.metrics]
        shown["inputs"] = self._inputs
        shutil.copytree(record.folder, folder / "artifacts", dirs_exist_ok=True)
        _replace(folder / "run.json", shown)
        return LoggedRun(run_id, (folder / "artifacts" / MODEL).as_uri())

    def finish(self, run_id: str) -> None:
        with self._store.locked():
            found = self._runs()
            found["runs"][run_id]["status"] = _FINISHED
            self._store.write(_EXPERIMENTS, self._experiment, found)

    def finished(self, key: str) -> str | None:
        runs = self._runs()["runs"].items()
        return next((run_id for run_id, run in runs if (run["key"], run["status"]) == (key, _FINISHED)), None)

    def _create(self, record: RunRecord) -> str:
        run_id = uuid.uuid4().hex
        tags = {**record.tags, KEY: record.key, "mlflow.note.content": record.description}
        shown = {"name": record.name, "tags": tags, "params": {}, "metrics": [], "inputs": []}
        with self._store.locked():
            found = self._runs()
            folder = self._store.run_folder(run_id)
            (folder / "artifacts").mkdir(parents=True)
            _replace(folder / "run.json", shown)
            found["runs"][run_id] = {"key": record.key, "status": _RUNNING}
            self._store.write(_EXPERIMENTS, self._experiment, found)
        return run_id

    def _runs(self) -> dict[str, Any]:
        found = self._store.read(_EXPERIMENTS, self._experiment)
        if found is None:
            raise ConfigurationError(f"MLflow refused: the experiment {self._experiment} was deleted.", "Run it again.")
        return found


class _Store:
    """The files of a registry. Where the folder is missing, as after `rmdir`, the registry is unreachable."""

    def __init__(self, url: str) -> None:
        self._folder = _folder_of(url)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other threads and processes from writing."""
        self._require_folder()
        with (self._folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # of this open file, so it holds between threads too; closing releases it
            yield

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        self._require_folder()
        try:
            found: dict[str, Any] = json.loads(self.path(kind, name).read_text())
        except FileNotFoundError:
            return None
        return found

    def write(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        path = self.path(kind, name)
        path.parent.mkdir(exist_ok=True)
        _replace(path, content)

    def path(self, kind: str, name: str) -> Path:
        return self._folder / kind / f"{require_name(name)}.json"

    def run_folder(self, run_id: str) -> Path:
        self._require_folder()
        return self._folder / _RUNS / require_name(run_id)

    def _require_folder(self) -> None:
        if not self._folder.is_dir():
            raise RegistryUnreachableError(
                f"MLflow did not answer at {self._folder.as_uri()} (there is no such folder).",
                "Make the folder; nothing was changed there.",
            )


def _folder_of(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a file in one step. Not `core.files.write_atomically`: a test does not wait for the disk."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(path)
