"""The API under its real server: several processes, one port, one set of metrics, and a clean end."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import sqlalchemy as sa

from core.config.settings import Settings, child_environment
from core.db.pipeline_tables import predictions
from tests.support.serving.world import POLL_SECONDS, Server, World, make_world, open_server
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    world = make_world(settings_with_mlflow, engine, tmp_path / "tasks")
    world.crown(world.versions[0])
    return world


def ask(url: str, times: int) -> list[requests.Response]:
    """Asks over one connection."""
    with requests.Session() as session:
        return [session.get(url, timeout=60) for _ in range(times)]


def workers(server: Server) -> list[int]:
    return [child.pid for child in psutil.Process(server.process.pid).children() if child.status() != "zombie"]


def ages(server: Server) -> list[float]:
    """Seconds since each worker heard the aliases."""
    return [age for name, age in server.metrics().items() if name.startswith("alias_poll_age_seconds")]


def answered(server: Server) -> float:
    return server.metrics().get('http_requests_total{route="/tasks/<task>/prediction",status="200"}', 0)


def if_it_answers(is_so: Callable[[], bool]) -> bool:
    """Whether something is so; no, where a connection went to the worker that was killed."""
    try:
        return is_so()
    except requests.ConnectionError:
        return False


def test_two_workers_count_every_request_once_even_when_one_is_killed(world: World) -> None:
    with open_server(world.settings, api_workers=2) as server, ThreadPoolExecutor(8) as pool:
        wait_for(lambda: len(ages(server)) == 2)  # until then only one of them may be up
        answers = [response for part in pool.map(ask, [server.url + world.path] * 50, [20] * 50) for response in part]

        assert {response.status_code for response in answers} == {200}
        assert len({response.headers["X-Prediction-Id"].split("-", 1)[0] for response in answers}) == 2, "both answer"
        wait_for(lambda: answered(server) == 1000)
        wait_for(lambda: world.logged() == 1000)
        assert max(ages(server)) < 10 * POLL_SECONDS

        before = workers(server)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(workers(server)) == 2 and set(workers(server)) != set(before))
        wait_for(lambda: if_it_answers(lambda: server.metrics().get("predictions_pending") == 0))
        wait_for(lambda: if_it_answers(lambda: len(ages(server)) == 2))
        ask(server.url + world.path, 10)
        wait_for(lambda: answered(server) == 1010)
        ask(server.url + world.path, 10)

    assert world.logged() == 1020, "SIGTERM writes down what was answered last"
    assert "Traceback" not in server.process.log.read_text()
    assert list(world.settings.spool.glob("*.rows")) == []


def test_an_alias_moved_under_load_is_served_by_every_worker_without_a_failed_request(world: World) -> None:
    values = {version.version: 1.0 + number / 100 for number, version in enumerate(world.versions)}
    faults: list[Any] = []
    served: Counter[int] = Counter()
    done = threading.Event()

    with open_server(world.settings, api_workers=2) as server:

        def keep_asking() -> None:
            while not done.is_set():
                for response in ask(server.url + world.path, 20):
                    told = response.json()
                    version = int(response.headers.get("X-Model-Version", 0))
                    served[version] += 1
                    if (told.get("model_version"), told.get("prediction")) != (version, values.get(version)):
                        faults.append(told)

        def everyone_serves(version: int) -> bool:
            told = [value for name, value in server.metrics().items() if name.startswith("model_version_served")]
            return told == [version, version]

        askers = [threading.Thread(target=keep_asking) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            for turn in range(1, 7):
                version = world.versions[turn % 2]
                world.crown(version)
                wait_for(lambda version=version: everyone_serves(version.version))
        finally:
            done.set()
            for asker in askers:
                asker.join()

    assert faults == []
    assert set(served) == set(values)
    with world.stage.engine.connect() as connection:
        logged = connection.execute(sa.select(predictions.c.version, predictions.c.value).distinct()).all()
    assert {row.version: row.value for row in logged} == values


def start(settings: Settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "serving"],
        env=child_environment(settings), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_a_service_that_others_could_reach_does_not_start(settings: Settings, tmp_path: Path) -> None:
    ended = start(settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9", "api_host": "0.0.0.0"}))

    assert ended.returncode == 42
    assert "CONTENDER_API_HOST" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named_with_what_to_do(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        ended = start(settings.model_copy(update={"mlflow_url": "http://127.0.0.1:9", "api_port": port}))

    assert ended.returncode == 42
    assert re.search(rf"Port {port} .*in use", ended.stderr)
    assert "CONTENDER_API_PORT" in ended.stderr


def test_without_addresses_it_says_which_are_missing(settings: Settings) -> None:
    ended = start(settings.model_copy(update={"database_url": "", "mlflow_url": ""}))

    assert ended.returncode == 42
    assert "CONTENDER_DATABASE_URL" in ended.stderr
