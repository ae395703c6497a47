"""The gateway to MLflow's model registry over its REST API, with timeouts of its own.

MLflow's client library blocks for minutes when the server is down, costs seconds and 100 MB to import, and an API
worker that only follows an alias needs neither.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from core.errors import ConfigurationError, NotFoundError, RegistryUnreachableError
from training.registry.base import JOB, RegisteredVersion, Timeouts, require_name

_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_EXISTS = "RESOURCE_ALREADY_EXISTS"
# Refusals that say nothing about the thing requested; the product must not take one for an absent thing.
_UNAVAILABLE = (401, 403, 408, 429)
_PROXIED = "mlflow-artifacts:"
"""The scheme of artifacts that the server itself hands out."""
_MOST_VERSIONS = 1_000
_PAGE = 100


class MlflowRegistry:
    """`training.registry.base.ModelRegistry` on an MLflow server."""

    def __init__(self, url: str, timeouts: Timeouts = JOB) -> None:
        self._url = url.rstrip("/")
        self._timeouts = timeouts

    def aliases(self, model: str) -> dict[str, int] | None:
        # Of the model, not of one alias: MLflow's call for an alias has another code for a missing alias than for a
        # missing model, and only the second means absent here.
        answer = self._call("GET", "registered-models/get", params={"name": require_name(model)})
        if answer is None:
            return None
        listed = answer["registered_model"].get("aliases", [])
        return {entry["alias"]: int(entry["version"]) for entry in listed}

    def ensure_model(self, model: str, description: str) -> None:
        if self.aliases(model) is None:
            body = {"name": require_name(model), "description": description}
            # Another process may have been quicker; `_call` takes "already exists" for an answer.
            self._call("POST", "registered-models/create", json=body)

    def create_version(self, model: str, *, source: str, run_id: str, tags: Mapping[str, str], description: str) -> int:
        body = {
            "name": require_name(model),
            "source": source,
            "run_id": run_id,
            "description": description,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
        }
        answer = self._call("POST", "model-versions/create", json=body)
        if answer is None:
            raise NotFoundError(f"MLflow has no registered model {model!r} any more.", "Run training again.")
        return int(answer["model_version"]["version"])

    def versions_above(self, model: str, above: int) -> list[RegisteredVersion]:
        found: list[RegisteredVersion] = []
        token = ""
        while True:
            page, token = self._search(model, _PAGE, token)
            found += [version for version in page if version.version > above]
            # Newest first: nothing on later pages is above the number.
            if not token or any(version.version <= above for version in page):
                return found

    def newest_versions(self, model: str, limit: int) -> list[RegisteredVersion]:
        return self._search(model, min(limit, _MOST_VERSIONS), "")[0]

    def find(self, model: str, version: int) -> RegisteredVersion | None:
        query = {"name": require_name(model), "version": str(version)}
        answer = self._call("GET", "model-versions/get", params=query)
        return None if answer is None else _registered(answer["model_version"])

    def set_alias(self, model: str, alias: str, version: int) -> None:
        body = {"name": require_name(model), "alias": alias, "version": str(version)}
        if self._call("POST", "registered-models/alias", json=body) is None:
            raise NotFoundError(
                f"MLflow has no version {version} of {model!r}: it was deleted.",
                "Restore it, or train until there is a newer one.",
            )

    def delete_model(self, model: str) -> None:
        self._call("DELETE", "registered-models/delete", json={"name": require_name(model)})

    def download(self, model: str, version: int, folder: Path) -> Path:
        found = self.find(model, version)
        if found is None:
            raise NotFoundError(f"MLflow has no version {version} of {model!r}.", "Look in MLflow, or train again.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if found.source.startswith(_PROXIED):
            self._fetch(urlsplit(found.source).path.strip("/"), folder)
        else:
            self._fetch_by_client(found.source, folder)
        if not any(folder.rglob("*")):
            raise NotFoundError(f"Version {version} of {model!r} has no files at {found.source}.", "Train again.")
        return folder

    def artifacts_of(self, run_id: str) -> str | None:
        answer = self._call("GET", "runs/get", params={"run_id": run_id})
        uri: str | None = None if answer is None else answer["run"]["info"]["artifact_uri"]
        return uri

    def has_experiment(self, name: str) -> bool:
        return self._experiment(name) is not None

    def delete_experiment(self, name: str) -> None:
        found = self._experiment(name)
        if found is None:
            return
        number = found["experiment_id"]
        # MLflow keeps the record of a deleted experiment, and its name, until `mlflow gc`. Under another name it does
        # not keep a new experiment from being made.
        body = {"experiment_id": number, "new_name": f"{name} (removed, {number})"}
        self._call("POST", "experiments/update", json=body)
        self._call("POST", "experiments/delete", json={"experiment_id": number})
        if found["artifact_location"] == f"{_PROXIED}/{number}":
            self._call("DELETE", f"mlflow-artifacts/artifacts/{number}", root="api/2.0")

    def _experiment(self, name: str) -> dict[str, Any] | None:
        answer = self._call("GET", "experiments/get-by-name", params={"experiment_name": require_name(name)})
        if answer is None or answer["experiment"]["lifecycle_stage"] != "active":
            return None
        found: dict[str, Any] = answer["experiment"]
        return found

    def _search(self, model: str, limit: int, token: str) -> tuple[list[RegisteredVersion], str]:
        """One page of a model's versions, newest first, and the token of the next; empty after the last."""
        query = {
            "filter": f"name='{require_name(model)}'",
            "order_by": "version_number DESC",
            "max_results": str(limit),
            "page_token": token,
        }
        answer = self._call("GET", "model-versions/search", params=query) or {}
        return [_registered(entry) for entry in answer.get("model_versions", [])], answer.get("next_page_token", "")

    def _fetch(self, path: str, folder: Path) -> None:
        """Copies a folder of MLflow's artifact proxy, and the folders in it."""
        listing = self._call("GET", "mlflow-artifacts/artifacts", root="api/2.0", params={"path": path}) or {}
        for entry in listing.get("files", []):
            name = Path(entry["path"]).name
            if entry.get("is_dir"):
                (folder / name).mkdir()
                self._fetch(f"{path}/{name}", folder / name)
            else:
                address = f"{self._url}/api/2.0/mlflow-artifacts/artifacts/{quote(f'{path}/{name}')}"
                (folder / name).write_bytes(self._send("GET", address, {}).content)

    def _fetch_by_client(self, source: str, folder: Path) -> None:
        """Copies a folder from a store that only MLflow's client can reach: the server is no artifact proxy."""
        from training.registry.flavor import pyfunc

        pyfunc()
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException

        try:
            mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=self._url)
        except (MlflowException, OSError) as error:
            raise RegistryUnreachableError(
                f"{source} could not be fetched: {error}.", "Look at the artifact store."
            ) from error

    def _call(self, method: str, path: str, *, root: str = "api/2.0/mlflow", **what: Any) -> dict[str, Any] | None:
        """One call of the API.

        Args:
            method: of HTTP.
            path: below `root`.
            root: of the API, below the server's address.
            what: arguments of `requests.request`.

        Returns:
            The JSON of the answer, or None when MLflow says that the thing does not exist.
        """
        response = self._send(method, f"{self._url}/{root}/{path}", what)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError:
            raise RegistryUnreachableError(
                f"{self._url} does not answer as MLflow does (HTTP {response.status_code}).",
                "See that CONTENDER_MLFLOW_URL is the address of the MLflow server.",
            ) from None
        if response.ok or answer.get("error_code") == _EXISTS:
            return answer
        if answer.get("error_code") == _ABSENT:
            return None
        raise ConfigurationError(
            f"MLflow refused {path}: {answer.get('message', response.reason)}.", "Correct the request."
        )

    def _send(self, method: str, address: str, what: Mapping[str, Any]) -> requests.Response:
        try:
            response = requests.request(method, address, timeout=self._timeouts, **what)
        except requests.RequestException as error:
            raise RegistryUnreachableError(
                f"MLflow did not answer at {self._url} ({type(error).__name__}).",
                "See that it runs (`contender status`); nothing was changed there.",
            ) from error
        if response.status_code >= 500 or response.status_code in _UNAVAILABLE:
            raise RegistryUnreachableError(
                f"MLflow at {self._url} answered HTTP {response.status_code}: {response.text.strip()[:200]}.",
                "A 403 means that the server's --allowed-hosts lacks this address; otherwise look at its log.",
            )
        return response


def _registered(entry: Mapping[str, Any]) -> RegisteredVersion:
    tags = {tag["key"]: tag["value"] for tag in entry.get("tags", [])}
    return RegisteredVersion(int(entry["version"]), entry.get("run_id", ""), entry.get("source", ""), tags)
