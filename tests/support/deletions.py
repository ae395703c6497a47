"""What a person can delete in MLflow's pages, deleted over the API that those pages use."""

import requests

from core.config.settings import Settings


def delete_alias(settings: Settings, model: str, alias: str = "champion") -> None:
    _delete(settings, "registered-models/alias", name=model, alias=alias)


def delete_version(settings: Settings, model: str, version: int) -> None:
    _delete(settings, "model-versions/delete", name=model, version=str(version))


def delete_model(settings: Settings, model: str) -> None:
    _delete(settings, "registered-models/delete", name=model)


def _delete(settings: Settings, path: str, **what: str) -> None:
    address = f"{settings.require_mlflow_url()}/api/2.0/mlflow/{path}"
    requests.delete(address, json=what, timeout=60).raise_for_status()
