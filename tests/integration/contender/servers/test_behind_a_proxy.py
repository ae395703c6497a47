"""A laptop whose proxy does not know the laptop: our own services are reached all the same."""

import pytest
import requests
import sqlalchemy as sa

from contender.servers.processes import wait_for_mlflow
from core.config.settings import Settings, load_settings
from core.errors import RegistryUnreachableError
from tests.support.shared_servers import Mlflow
from tests.support.stage import Stage
from training.registry import flavor
from training.registry.factory import open_registry

DEAD = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, DEAD)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, ".example.org")


def test_models_are_trained_registered_and_fetched_past_the_proxy(
    settings_with_mlflow: Settings, mlflow_server: Mlflow, engine: sa.Engine
) -> None:
    stage = Stage(settings_with_mlflow, engine, months=30)
    with pytest.raises(RegistryUnreachableError, match="ProxyError"):
        open_registry(stage.settings).aliases(stage.task.name)

    load_settings()

    wait_for_mlflow(mlflow_server.url, mlflow_server.process)
    (version,) = stage.versions("ridge")
    folder = open_registry(stage.settings).download(stage.task.name, version.version, stage.settings.home / "model")
    assert flavor.folder_digest(folder) == version.artifact_digest


def test_other_hosts_are_sent_through_the_proxy() -> None:
    load_settings()

    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("http://mlflow.example.com", timeout=5)
