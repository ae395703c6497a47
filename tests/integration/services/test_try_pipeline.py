"""The script that a person watches: scripts/try-pipeline.sh against the three services."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from werkzeug.serving import make_server

import features.api
import ingestion.api
from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from serving import app as api
from tests.support.paths import REPOSITORY
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def addresses(settings: Settings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that names the three services, on ports of their own, in this process."""
    (tmp_path / "tasks").mkdir()
    shutil.copy(REPOSITORY / "tasks" / "live.yaml", tmp_path / "tasks")
    settings = settings.model_copy(update={"tasks": tmp_path / "tasks", "mlflow_url": "http://127.0.0.1:9"})
    model = api.create_app(settings)
    apps = {
        "INGESTION": ingestion.api.create_app(settings),
        "FEATURES": features.api.create_app(settings),
        "API": model,
    }
    servers = {name: make_server("127.0.0.1", 0, app, threaded=True) for name, app in apps.items()}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {name: f"http://127.0.0.1:{server.server_port}" for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    model.extensions[api.EXTENSION].stop()


def tried(addresses: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(REPOSITORY / "scripts" / "try-pipeline.sh"), *arguments],
        env={**os.environ, **addresses},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_one_observation_goes_through_all_three(addresses: dict[str, str]) -> None:
    first, second = tried(addresses), tried(addresses)

    assert (first.returncode, first.stdout.splitlines()[-1]) == (0, "1949-01: predicted nothing yet, was 112.")
    assert (second.returncode, second.stdout.splitlines()[-1][:18]) == (0, "1949-02: predicted")
    assert '"in_1": 112' in second.stdout


def test_after_a_reset_nothing_is_added_and_nothing_learned_a_second_time(addresses: dict[str, str]) -> None:
    first = [tried(addresses).returncode for _ in range(3)]
    requests.post(f"{addresses['INGESTION']}/reset", timeout=60).raise_for_status()

    again = [tried(addresses) for _ in range(4)]

    assert first + [one.returncode for one in again] == [0] * 7
    assert ["has it already" in one.stdout for one in again] == [True, True, True, False]
    kept = requests.get(f"{addresses['FEATURES']}/series/airline", timeout=60).json()
    assert kept["values"] == [112, 118, 132, 129]
    metrics = requests.get(f"{addresses['API']}/model_metrics", timeout=60).json()
    assert metrics["model_info"]["rows_learned"] == 4


def test_it_says_in_words_what_keeps_it(addresses: dict[str, str], engine: sa.Engine) -> None:
    away = tried({**addresses, "INGESTION": "http://127.0.0.1:9"})
    assert away.returncode == 75
    assert "Nothing answers at http://127.0.0.1:9/next?series=airline" in away.stderr
    without_features = tried({**addresses, "FEATURES": "http://127.0.0.1:9"})
    assert without_features.returncode == 75
    assert "Nothing answers at http://127.0.0.1:9/add" in without_features.stderr
    on_its_way = tried(addresses)
    assert on_its_way.returncode == 75
    assert "One is leased already" in on_its_way.stderr
    requests.post(f"{addresses['INGESTION']}/reset", timeout=60).raise_for_status()

    secret = tokens.create(engine, name="tryer", role=Role.TRAINER, lifetime=None, who="test")
    refused = tried({**addresses, "CONTENDER_TRAINER_TOKEN": "ct_wrong"})
    assert refused.returncode == 42
    assert "set CONTENDER_TRAINER_TOKEN" in refused.stderr
    wait_for(lambda: tried({**addresses, "CONTENDER_TRAINER_TOKEN": secret}).returncode == 0)
