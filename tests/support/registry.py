"""The model registry of the tests, whether MLflow's or that of a folder: what a person does there, and what is found.

`settings.mlflow_url` says which: `http://…` or `file:///…` (`training.registry.factory`).
"""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

from core.config.settings import Settings
from training.registry.client import MlflowRegistry
from training.registry.factory import open_registry
from training.registry.file_registry import FileRegistry, FileTracker
from training.registry.tracking import MlflowTracker


def registry_class(settings: Settings) -> Any:
    """The class to patch, for a test that lets a step of the registry fail."""
    return FileRegistry if is_folder(settings) else MlflowRegistry


def tracker_class(settings: Settings) -> Any:
    """The class to patch, for a test that lets a step of the tracker fail."""
    return FileTracker if is_folder(settings) else MlflowTracker


def is_folder(settings: Settings) -> bool:
    return urlsplit(settings.mlflow_url).scheme == "file"


def delete_alias(settings: Settings, model: str, alias: str = "champion") -> None:
    if is_folder(settings):
        FileRegistry(settings.mlflow_url).delete_alias(model, alias)
    else:
        _delete(settings, "registered-models/alias", name=model, alias=alias)


def delete_version(settings: Settings, model: str, version: int) -> None:
    if is_folder(settings):
        FileRegistry(settings.mlflow_url).delete_version(model, version)
    else:
        _delete(settings, "model-versions/delete", name=model, version=str(version))


def delete_model(settings: Settings, model: str) -> None:
    open_registry(settings).delete_model(model)


def model_file(settings: Settings, model: str, version: int, artifacts: Path) -> Path:
    """The pickled model of a version where the registry keeps it. `artifacts`: a folder above MLflow's store."""
    found = open_registry(settings).find(model, version)
    assert found is not None
    path = unquote(urlsplit(found.source).path)
    if is_folder(settings):
        return Path(path) / "data" / "model.pkl"
    (file,) = artifacts.rglob(f"artifacts/{path.strip('/')}/data/model.pkl")
    return file


def run_statuses(settings: Settings, experiment: str) -> list[str]:
    """The status of every run of an experiment."""
    if is_folder(settings):
        return [run.status for run in FileRegistry(settings.mlflow_url).runs(experiment)]
    from mlflow import MlflowClient

    client = MlflowClient(settings.mlflow_url)
    number = client.get_experiment_by_name(experiment).experiment_id
    return [run.info.status for run in client.search_runs([number])]


def _delete(settings: Settings, path: str, **what: str) -> None:
    address = f"{settings.require_mlflow_url()}/api/2.0/mlflow/{path}"
    requests.delete(address, json=what, timeout=60).raise_for_status()
