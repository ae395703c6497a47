"""The one gateway to MLflow's model registry.

It speaks MLflow's REST API itself, with timeouts of its own: the client library blocks for minutes when the server is
down, costs seconds and 100 MB to import, and an API worker that only follows an alias needs neither. *Absent* is
`None` (no such model, no such version); *unreachable* raises RegistryUnreachableError. The two are never confused.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from core.config.settings import Settings
from core.errors import ConfigurationError, NotFoundError, RegistryUnreachableError
from training.registry.flavor import folder_digest as folder_digest
from training.registry.flavor import load_model as load_model
from training.registry.flavor import unpack as unpack

Timeouts = tuple[float, float]
POLL: Timeouts = (0.5, 1.5)
"""Seconds to connect and to wait for an answer, for who asks every two seconds and can wait for the next turn."""
JOB: Timeouts = (3.0, 30.0)
"""The same for a job, which would rather wait than start again."""

_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_EXISTS = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True)
class Registered:
    """A model version as MLflow knows it."""

    version: int
    run_id: str
    source: str
    tags: Mapping[str, str]


def aliases(settings: Settings, task_name: str, timeouts: Timeouts = POLL) -> dict[str, int] | None:
    """Where the aliases of a task's registered model stand, or None when there is no such model.

    Raises RegistryUnreachableError within two seconds unless told to wait longer.
    """
    answer = _call(settings, "GET", "registered-models/get", timeouts, params={"name": _safe(task_name)})
    if answer is None:
        return None
    listed = answer["registered_model"].get("aliases", [])
    return {entry["alias"]: int(entry["version"]) for entry in listed}


def ensure_model(settings: Settings, task_name: str, description: str) -> None:
    """Makes the task's registered model when there is none yet."""
    if aliases(settings, task_name, JOB) is None:
        body = {"name": _safe(task_name), "description": description}
        _call(settings, "POST", "registered-models/create", JOB, json=body)


def create_version(
    settings: Settings, task_name: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str
) -> int:
    """Registers the model folder at `source` (an artifact URI) as the next version, and returns its number."""
    body = {
        "name": _safe(task_name),
        "source": source,
        "run_id": run_id,
        "description": description,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
    }
    answer = _call(settings, "POST", "model-versions/create", JOB, json=body)
    if answer is None:
        raise NotFoundError(f"MLflow has no registered model {task_name!r} any more.", "Run training again.")
    return int(answer["model_version"]["version"])


def versions_above(settings: Settings, task_name: str, above: int) -> list[Registered]:
    """The versions numbered above `above`, newest first: those that MLflow has and we may not have recorded."""
    found: list[Registered] = []
    token = ""
    while True:
        query = {
            "filter": f"name='{_safe(task_name)}'",
            "order_by": "version_number DESC",
            "max_results": "100",
            "page_token": token,
        }
        answer = _call(settings, "GET", "model-versions/search", JOB, params=query) or {}
        page = [_registered(entry) for entry in answer.get("model_versions", [])]
        found += [version for version in page if version.version > above]
        token = answer.get("next_page_token", "")
        if not token or any(version.version <= above for version in page):
            return found


def newest_versions(settings: Settings, task_name: str, limit: int) -> list[Registered]:
    """The newest versions of a task's model, newest first; at most 1,000."""
    query = {
        "filter": f"name='{_safe(task_name)}'",
        "order_by": "version_number DESC",
        "max_results": str(min(limit, 1_000)),
    }
    answer = _call(settings, "GET", "model-versions/search", JOB, params=query) or {}
    return [_registered(entry) for entry in answer.get("model_versions", [])]


def find(settings: Settings, task_name: str, version: int) -> Registered | None:
    """One version, or None when MLflow has none of that number."""
    query = {"name": _safe(task_name), "version": str(version)}
    answer = _call(settings, "GET", "model-versions/get", JOB, params=query)
    return None if answer is None else _registered(answer["model_version"])


def artifacts_of(settings: Settings, run_id: str) -> str | None:
    """Where a run keeps its files (a URI), or None when MLflow has no such run."""
    answer = _call(settings, "GET", "runs/get", JOB, params={"run_id": run_id})
    uri: str | None = None if answer is None else answer["run"]["info"]["artifact_uri"]
    return uri


def delete_model(settings: Settings, task_name: str) -> None:
    """Removes a registered model with its versions and aliases; their runs stay. Nothing where there is none."""
    _call(settings, "DELETE", "registered-models/delete", JOB, json={"name": _safe(task_name)})


def has_experiment(settings: Settings, name: str) -> bool:
    """Whether there is an experiment of that name which was not deleted."""
    return _experiment(settings, name) is not None


def delete_experiment(settings: Settings, name: str) -> None:
    """Removes an experiment, and the files of its runs where the server itself keeps them. Nothing without one.

    MLflow keeps the record of a deleted experiment, and its name, until `mlflow gc`; so it gets another name before,
    and an experiment of this name can be made again.
    """
    found = _experiment(settings, name)
    if found is None:
        return
    number = found["experiment_id"]
    body = {"experiment_id": number}
    _call(settings, "POST", "experiments/update", JOB, json={**body, "new_name": f"{name} (removed, {number})"})
    _call(settings, "POST", "experiments/delete", JOB, json=body)
    if found["artifact_location"] == f"mlflow-artifacts:/{number}":
        _call(settings, "DELETE", f"mlflow-artifacts/artifacts/{number}", JOB, root="api/2.0")


def _experiment(settings: Settings, name: str) -> dict[str, Any] | None:
    answer = _call(settings, "GET", "experiments/get-by-name", JOB, params={"experiment_name": _safe(name)})
    if answer is None or answer["experiment"]["lifecycle_stage"] != "active":
        return None
    found: dict[str, Any] = answer["experiment"]
    return found


def set_alias(settings: Settings, task_name: str, alias: str, version: int) -> None:
    """Moves an alias. Only `training.ledger.reconciler` does, under the promote lease; the ledger is written before
    and after.
    """
    body = {"name": _safe(task_name), "alias": alias, "version": str(version)}
    if _call(settings, "POST", "registered-models/alias", JOB, json=body) is None:
        raise NotFoundError(
            f"MLflow has no version {version} of {task_name!r}: it was deleted.",
            "Restore it, or train until there is a newer one.",
        )


def download(settings: Settings, task_name: str, version: int, folder: Path) -> Path:
    """Fetches a version's model folder into `folder` (emptied first) and returns it.

    Nothing is checked here: compare `folder_digest` with what Postgres recorded before `load_model`.
    Raises NotFoundError when MLflow has no such version, or none of its files.
    """
    query = {"name": _safe(task_name), "version": str(version)}
    answer = _call(settings, "GET", "model-versions/get", JOB, params=query)
    if answer is None:
        raise NotFoundError(f"MLflow has no version {version} of {task_name!r}.", "Look in MLflow, or train again.")
    source = answer["model_version"]["source"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if source.startswith("mlflow-artifacts:"):
        _fetch(settings, urlsplit(source).path.strip("/"), folder)
    else:
        _fetch_by_client(settings, source, folder)
    if not any(folder.rglob("*")):
        raise NotFoundError(f"Version {version} of {task_name!r} has no files at {source}.", "Train again.")
    return folder


def _fetch(settings: Settings, path: str, folder: Path) -> None:
    """Copies a folder of MLflow's artifact proxy, and the folders in it."""
    listing = _call(settings, "GET", "mlflow-artifacts/artifacts", JOB, root="api/2.0", params={"path": path}) or {}
    for entry in listing.get("files", []):
        name = Path(entry["path"]).name
        if entry.get("is_dir"):
            (folder / name).mkdir()
            _fetch(settings, f"{path}/{name}", folder / name)
        else:
            address = f"{_base(settings)}/api/2.0/mlflow-artifacts/artifacts/{quote(f'{path}/{name}')}"
            (folder / name).write_bytes(_send(settings, "GET", address, JOB, {}).content)


def _fetch_by_client(settings: Settings, source: str, folder: Path) -> None:
    """Copies a folder from where only MLflow's client can reach it: a server without an artifact proxy."""
    from training.registry.flavor import pyfunc

    pyfunc()
    import mlflow.artifacts
    from mlflow.exceptions import MlflowException

    try:
        mlflow.artifacts.download_artifacts(
            artifact_uri=source, dst_path=str(folder), tracking_uri=settings.require_mlflow_url()
        )
    except (MlflowException, OSError) as error:
        raise RegistryUnreachableError(
            f"{source} could not be fetched: {error}.", "Look at the artifact store."
        ) from error


def _registered(entry: Mapping[str, Any]) -> Registered:
    tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
    return Registered(int(entry["version"]), entry.get("run_id", ""), entry.get("source", ""), tags)


def _safe(name: str) -> str:
    if not name or any(character in name for character in "/:'\"%"):
        raise ConfigurationError(f"{name!r} cannot name a model in MLflow.", "Use letters, digits and - only.")
    return name


def _base(settings: Settings) -> str:
    return settings.require_mlflow_url().rstrip("/")


def _call(
    settings: Settings, method: str, path: str, timeouts: Timeouts, *, root: str = "api/2.0/mlflow", **what: Any
) -> dict[str, Any] | None:
    """One call of the API: its JSON, or None when MLflow says that the thing does not exist."""
    response = _send(settings, method, f"{_base(settings)}/{root}/{path}", timeouts, what)
    try:
        answer: dict[str, Any] = response.json()
    except ValueError:
        raise RegistryUnreachableError(
            f"{_base(settings)} does not answer as MLflow does (HTTP {response.status_code}).",
            "See that CONTENDER_MLFLOW_URL is the address of the MLflow server.",
        ) from None
    if response.ok or answer.get("error_code") == _EXISTS:
        return answer
    if answer.get("error_code") == _ABSENT:
        return None
    raise ConfigurationError(
        f"MLflow refused {path}: {answer.get('message', response.reason)}.", "Correct the request."
    )


def _send(
    settings: Settings, method: str, address: str, timeouts: Timeouts, what: Mapping[str, Any]
) -> requests.Response:
    try:
        response = requests.request(method, address, timeout=timeouts, **what)
    except requests.RequestException as error:
        raise RegistryUnreachableError(
            f"MLflow did not answer at {_base(settings)} ({type(error).__name__}).",
            "See that it runs (`contender status`); nothing was changed there.",
        ) from error
    if response.status_code >= 500 or response.status_code in (401, 403, 408, 429):
        raise RegistryUnreachableError(
            f"MLflow at {_base(settings)} answered HTTP {response.status_code}: {response.text.strip()[:200]}.",
            "A 403 means that the server's --allowed-hosts lacks this address; otherwise look at its log.",
        )
    return response
