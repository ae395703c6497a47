"""One observation through the three services, whatever breaks on the way."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from werkzeug.serving import make_server

import features.api
import ingestion.api
from contender.cluster import stream
from contender.cluster.service_client import ServiceClient
from core.auth import tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from core.db.event_tables import stream_leases
from core.errors import ConfigurationError, UnreachableError
from serving import app as api
from tests.support.paths import REPOSITORY


@pytest.fixture
def services(settings: Settings, tmp_path: Path) -> Iterator[ServiceClient]:
    """The three services on ports of their own, in this process."""
    (tmp_path / "tasks").mkdir()
    shutil.copy(REPOSITORY / "tasks" / "live.yaml", tmp_path / "tasks")
    settings = settings.model_copy(update={"tasks": tmp_path / "tasks", "mlflow_url": "http://127.0.0.1:9"})
    model = api.create_app(settings)
    apps = [ingestion.api.create_app(settings), features.api.create_app(settings), model]
    servers = [make_server("127.0.0.1", 0, app, threaded=True) for app in apps]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ServiceClient(*(f"http://127.0.0.1:{server.server_port}" for server in servers), token="")
    for server in servers:
        server.shutdown()
        server.server_close()
    model.extensions[api.EXTENSION].stop()


def learned(services: ServiceClient) -> int:
    rows: int = requests.get(f"{services.api}/model_metrics", timeout=10).json()["model_info"]["rows_learned"]
    return rows


def kept(services: ServiceClient) -> dict[str, Any]:
    reported: dict[str, Any] = requests.get(f"{services.features}/series/airline", timeout=10).json()
    return reported


def run_out(engine: sa.Engine) -> None:
    """A lease's time passes."""
    with engine.begin() as connection:
        connection.execute(sa.update(stream_leases).values(expires_at=sa.func.now()))


def test_each_step_takes_one_observation_all_the_way(services: ServiceClient) -> None:
    message = [stream.step(services) for _ in range(3)]

    assert message[0] == "airline 1949-01: predicted None, was 112; 0 features, 143 remain"
    assert message[2].endswith("was 132; 2 features, 141 remain")
    assert (learned(services), kept(services)["values"]) == (3, [112, 118, 132])


@pytest.mark.parametrize("is_added", [False, True])
def test_a_step_that_died_is_done_again_and_nothing_counts_twice(
    services: ServiceClient, engine: sa.Engine, is_added: bool
) -> None:
    stream.step(services)
    requests.get(f"{services.ingestion}/next?lease=60", timeout=10).raise_for_status()
    if is_added:
        body = {"series_id": "airline", "value": 118}
        requests.post(f"{services.features}/add", json=body, timeout=10).raise_for_status()
    run_out(engine)

    message = [stream.step(services) for _ in range(2)]

    assert [line.split(":")[0] for line in message] == ["airline 1949-02", "airline 1949-03"]
    assert [line.split("; ")[1].split(",")[0] for line in message] == ["1 features", "2 features"]
    assert (learned(services), kept(services)["values"]) == (3, [112, 118, 132])


def test_nothing_is_learned_before_an_observation_that_is_still_on_its_way(
    services: ServiceClient, engine: sa.Engine
) -> None:
    stream.step(services)
    requests.get(f"{services.ingestion}/next?lease=60", timeout=10).raise_for_status()  # whoever took it has died

    assert stream.step(services).startswith("an observation of airline is leased already")
    run_out(engine)
    message = [stream.step(services) for _ in range(2)]

    assert [line[:15] for line in message] == ["airline 1949-02", "airline 1949-03"]
    assert kept(services)["values"] == [112, 118, 132]


def test_what_was_learned_and_not_answered_is_not_learned_again(services: ServiceClient, engine: sa.Engine) -> None:
    seen = requests.get(f"{services.ingestion}/next?lease=60", timeout=10).json()
    row = {"features": {}, "target": seen["target"], "id": str(seen["observation_id"])}
    body = {"series_id": "airline", "value": 112}
    requests.post(f"{services.features}/add", json=body, timeout=10).raise_for_status()
    requests.post(f"{services.api}/predict_learn", json=row, timeout=10).raise_for_status()
    run_out(engine)

    assert stream.step(services).startswith("airline 1949-02")
    assert learned(services) == 2


def test_at_the_end_there_is_nothing_to_do(services: ServiceClient) -> None:
    for _ in range(144):
        requests.get(f"{services.ingestion}/next", timeout=10).raise_for_status()

    assert stream.step(services).startswith("no more observations of airline")


def test_a_service_that_is_away_or_busy_is_tried_again_later(services: ServiceClient) -> None:
    away = ServiceClient(services.ingestion, "http://127.0.0.1:9", services.api, "")

    with pytest.raises(UnreachableError, match="did not answer"):
        stream.step(away)


def test_a_token_that_is_not_taken_is_a_fault_of_the_configuration(services: ServiceClient, engine: sa.Engine) -> None:
    tokens.create(engine, name="lab", role=Role.TRAINER, lifetime=None, who="test")

    with pytest.raises(ConfigurationError, match=r"answered 401.*CONTENDER_TRAINER_TOKEN"):
        stream.step(ServiceClient(services.ingestion, services.features, services.api, "ct_" + "x" * 43))


def test_a_job_waits_until_all_three_are_there_before_it_takes_an_observation(
    services: ServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "WAIT_SECONDS", 0.1)
    away = Settings(ingestion_url=services.ingestion, features_url=services.features, api_url="http://127.0.0.1:9")

    with pytest.raises(UnreachableError, match="did not answer"):
        stream.run(away)

    assert stream.run(away.model_copy(update={"api_url": services.api})).startswith("airline 1949-01")


@pytest.mark.parametrize(("status", "body"), [(200, "[]"), (503, '"away"'), (401, "[1]"), (200, "<html>")])
def test_an_answer_that_is_none_of_ours_is_requested_again(status: int, body: str) -> None:
    def answer(environ: Any, start: Any) -> list[bytes]:
        start(f"{status} Odd", [("Content-Type", "application/json")])
        return [body.encode()]

    server = make_server("127.0.0.1", 0, answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(UnreachableError):
            stream.step(ServiceClient(url, url, url, ""))
    finally:
        server.shutdown()
        server.server_close()
