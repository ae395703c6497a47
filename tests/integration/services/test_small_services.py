"""The ingestion and the features service as users meet them: real processes, HTTP, one database."""

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from contender.servers.processes import Postgres
from core.config.settings import Settings, child_environment
from core.db.engine import connect, migrate
from tests.support.serving.small_services import Running, serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow


def drain(url: str) -> list[int]:
    with requests.Session() as session:
        taken = []
        while (response := session.get(f"{url}/next", timeout=60)).status_code == 200:
            taken.append(response.json()["observation_id"])
        assert (response.status_code, response.content) == (204, b"")
        return taken


def problem(response: requests.Response) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    return response.status_code, told["type"]


def test_clients_of_two_replicas_share_the_observations_and_a_restart_goes_on(settings: Settings) -> None:
    with serving("ingestion", settings) as one:
        first = requests.get(f"{one.url}/next", timeout=60)
        assert first.json() == {"observation_id": 1, "input": "1949-01", "target": 112, "remaining": 143}
        assert '"target":112,' in first.text
        assert first.headers["Cache-Control"] == "no-store"

    with serving("ingestion", settings) as one, serving("ingestion", settings) as two, ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(drain, [one.url, two.url] * 2))

        assert sorted(number for part in taken for number in part) == list(range(2, 145))
        assert requests.get(f"{two.url}/status", timeout=60).json() == {
            "current_index": 144,
            "total_observations": 144,
            "remaining": 0,
            "completed": True,
        }
        assert requests.post(f"{one.url}/reset", timeout=60).json()["remaining"] == 144
        assert requests.get(f"{two.url}/next", timeout=60).json()["observation_id"] == 1


def test_the_pipe_of_the_readme_turns_observations_into_rows(settings: Settings) -> None:
    with serving("ingestion", settings) as ingestion:
        with serving("features", settings, n_lags=2) as features, serving("features", settings, n_lags=2) as replica:
            rows = [pipe(ingestion, service) for service in (features, replica, features, replica)]
            assert requests.get(f"{replica.url}/info", timeout=60).json() == {
                "name": "features",
                "n_lags": 2,
                "series": 1,
            }
        with serving("features", settings) as again:
            rows.append(pipe(ingestion, again))

            kept = requests.get(f"{again.url}/series/airline", timeout=60).json()

    assert rows[:3] == [
        {"features": {}, "target": 112, "available_lags": 0},
        {"features": {"in_1": 112}, "target": 118, "available_lags": 1},
        {"features": {"in_1": 118, "in_2": 112}, "target": 132, "available_lags": 2},
    ]
    assert rows[4] == {
        "features": {"in_1": 129, "in_2": 132, "in_3": 118, "in_4": 112},
        "target": 121,
        "available_lags": 4,
    }
    assert kept == {"series_id": "airline", "count": 5, "values": [112, 118, 132, 129, 121]}


def pipe(ingestion: Running, features: Running) -> dict[str, Any]:
    """`curl /next | jq '{series_id: "airline", value: .target}' | curl -d @- /add`."""
    observation = requests.get(f"{ingestion.url}/next", timeout=60).json()
    body = {"series_id": "airline", "value": observation["target"]}
    row: dict[str, Any] = requests.post(f"{features.url}/add", json=body, timeout=60).json()
    return row


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A Postgres that may be stopped."""
    server = Postgres(tmp_path / "postgres" / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def settings_of_server(server: Postgres, tmp_path: Path) -> Settings:
    url = server.database("contender")
    engine = connect(url)
    migrate(engine)
    engine.dispose()
    return Settings(home=tmp_path / "home", database_url=url)


def let_in(ask: Callable[[], requests.Response]) -> requests.Response:
    """The answer of a service whose Postgres is back.

    Which tokens there are each asks again a moment after it could not be known; until then it lets nobody in.
    """
    while (answer := ask()).status_code == 503:
        time.sleep(0.1)
    return answer


def test_while_postgres_is_away_nothing_is_concluded_and_afterwards_all_goes_on(
    server: Postgres, settings_of_server: Settings
) -> None:
    settings, value = settings_of_server, {"series_id": "airline", "value": 1}
    with serving("ingestion", settings) as ingestion, serving("features", settings) as features:
        assert requests.get(f"{ingestion.url}/next", timeout=60).json()["observation_id"] == 1
        assert requests.post(f"{features.url}/add", json=value, timeout=60).json()["available_lags"] == 0

        server.stop()

        for path in ("/next", "/next?series=SPY&lease=60", "/status", "/health"):
            assert problem(requests.get(ingestion.url + path, timeout=60)) == (503, "unreachable")
        for path in ("/series/airline", "/info", "/health"):
            assert problem(requests.get(features.url + path, timeout=60)) == (503, "unreachable")
        assert problem(requests.post(f"{ingestion.url}/reset", timeout=60)) == (503, "unreachable")
        assert problem(requests.post(f"{features.url}/add", json=value, timeout=60)) == (503, "unreachable")
        for service in (ingestion, features):
            assert requests.get(f"{service.url}/health/live", timeout=60).json() == {"status": "live"}

        server.start()

        taken = let_in(lambda: requests.get(f"{ingestion.url}/next", timeout=60))
        assert taken.json()["observation_id"] == 2
        added = let_in(lambda: requests.post(f"{features.url}/add", json=value, timeout=60))
        assert added.json()["available_lags"] == 1
        for service in (ingestion, features):
            health = requests.get(f"{service.url}/health", timeout=60)
            assert health.json() == {"status": "ok", "database": "reachable"}
            assert "Traceback" not in service.process.log.read_text()


def test_under_load_a_restart_of_postgres_is_told_and_nothing_else(
    server: Postgres, settings_of_server: Settings
) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    done = threading.Event()

    with serving("ingestion", settings_of_server) as ingestion, serving("features", settings_of_server) as features:

        def ask() -> None:
            with requests.Session() as session:
                while not done.is_set():
                    taken = session.get(f"{ingestion.url}/next?series=phishing&lease=60", timeout=60)
                    added = session.post(f"{features.url}/add", json={"series_id": "a", "value": 1}, timeout=60)
                    seen.update([("/next", taken.status_code), ("/add", added.status_code)])

        askers = [threading.Thread(target=ask) for _ in range(4)]
        for asker in askers:
            asker.start()
        try:
            for _ in range(2):
                before = seen["/add", 200]
                wait_for(lambda before=before: seen["/add", 200] > before + 20)
                server.stop()
                away = seen["/add", 503]
                wait_for(lambda away=away: seen["/add", 503] > away + 5)
                server.start()
        finally:
            done.set()
            for asker in askers:
                asker.join()
        kept = requests.get(f"{features.url}/series/a", timeout=60).json()

    assert {status for _, status in seen} == {200, 503}
    assert kept["count"] >= seen["/add", 200], "what was confirmed is kept"


@pytest.mark.parametrize("name", ["ingestion", "features"])
@pytest.mark.parametrize(
    ("variables", "said"),
    [({"HOST": "0.0.0.0"}, "contender token create"), ({"PORT": "eighty"}, "_PORT: "), ({"N_LAGS": "0"}, "N_LAGS: ")],
)
def test_what_cannot_work_is_a_start_up_error(
    settings: Settings, name: str, variables: dict[str, str], said: str
) -> None:
    named = {key if key == "N_LAGS" else f"CONTENDER_{name.upper()}_{key}": text for key, text in variables.items()}

    ended = subprocess.run(
        [sys.executable, "-m", f"{name}.api"],
        env=child_environment(settings, named),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ended.returncode == 42
    assert said in ended.stderr, ended.stdout
    assert "CONTENDER_N_LAGS" not in ended.stderr
