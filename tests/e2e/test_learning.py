"""What a newcomer does with the models that learn: the lines of the README, a stream, a restart, a stop."""

import json
import math
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from contender.servers.processes import session
from tests.support.e2e.laptop import REPOSITORY, SERVICES, Laptop

PORTS = {"8000": "api", "8001": "features", "8002": "ingestion"}
FILTERS = {'{series_id: "airline", value: .target}': lambda row: {"series_id": "airline", "value": row["target"]}}
ROWS = 30


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """Everything is up; of the tasks that go through the loop there is `airline` only, the quick one."""
    folder = tmp_path_factory.mktemp("learning")
    (folder / "tasks").mkdir()
    for name in ("airline", "live", "phishing"):
        shutil.copy(REPOSITORY / "tasks" / f"{name}.yaml", folder / "tasks")
    laptop = Laptop(folder / "home", tasks=folder / "tasks")
    begun = laptop.run("up", "--detach")
    assert begun.returncode == 0, begun.stdout + begun.stderr
    yield laptop
    laptop.run("down")


def lines_of_the_readme() -> list[str]:
    section = (REPOSITORY / "README.md").read_text().split("## Models that learn as you watch")[1]
    block = re.search(r"```bash\n(.*?)```", section, re.S)
    assert block is not None
    return [line.split("   # ")[0].strip() for line in block[1].splitlines() if line.startswith("curl")]


def walk(laptop: Laptop, line: str) -> Any:
    """Does what a shell does with a line of curl and jq, and returns the JSON at its end."""
    piped: Any = None
    for stage in line.split(" | "):
        command, *words = shlex.split(stage)
        if command == "jq":
            piped = FILTERS[words[0]](piped)
            continue
        assert command == "curl"
        host, port, path = re.fullmatch(r"(localhost):(\d+)(/.*)", words[-1]).groups()  # type: ignore[union-attr]
        assert host == "localhost"
        url = laptop.url(PORTS[port]) + path
        if "-d" not in words:
            answer = requests.get(url, timeout=60)
        else:
            body = words[words.index("-d") + 1]
            content = json.dumps(piped) if body == "@-" else body
            name, kind = words[words.index("-H") + 1].split(": ")
            answer = requests.post(url, content, headers={name: kind}, timeout=60)
        assert answer.status_code == 200, answer.text
        piped = answer.json()
    return piped


def figures(laptop: Laptop, series: str) -> dict[str, Any]:
    told: dict[str, Any] = laptop.get("/model_metrics").json()[series]
    return told


def kill(laptop: Laptop, service: str) -> str:
    """Ends a service with all its processes, at once; returns its name."""
    family = session(json.loads((laptop.home / "services.json").read_text())[service]["pid"])
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=30)
    return service


def test_the_four_lines_of_the_readme_do_what_it_says(laptop: Laptop) -> None:
    lines = lines_of_the_readme()
    assert len(lines) == 4

    observation, row, prediction, metrics = (walk(laptop, line) for line in lines)

    assert observation == {"observation_id": 1, "input": "1949-01", "target": 112, "remaining": 143}
    assert row == {"features": {}, "target": 118, "available_lags": 0}
    assert prediction == {"prediction": None}, "nothing was learned yet"
    assert metrics["default"]["count"] == 0
    assert metrics["model_info"]["rows_learned"] == 1
    assert walk(laptop, lines[2]) == {"prediction": 140.0}, "what it learned a line before"


def test_a_stream_is_learned_and_services_that_died_go_on_from_there(laptop: Laptop) -> None:
    with requests.Session() as session:
        session.post(f"{laptop.url('ingestion')}/reset", timeout=60).raise_for_status()
        for _ in range(ROWS):
            seen = session.get(f"{laptop.url('ingestion')}/next?lease=60", timeout=60).json()
            value = {"series_id": "passengers", "value": seen["target"]}
            row = session.post(f"{laptop.url('features')}/add", json=value, timeout=60).json()
            pushed = {"features": row["features"], "target": row["target"], "series_id": "passengers"}
            pushed["id"] = seen["observation_id"]
            answer = session.post(f"{laptop.url('api')}/predict_learn", json=pushed, timeout=60)
            assert answer.status_code == 200, answer.text
    before = figures(laptop, "passengers")
    assert before["count"] == ROWS
    assert all(math.isfinite(before[name]) for name in ("mae", "mse", "rmse", "mape", "mae_5", "rmse_20"))
    assert before["mape"] < 0.2, "a model of lags is nearer than that to a series that moves by a tenth a month"
    assert requests.get(f"{laptop.url('ingestion')}/status", timeout=60).json()["current_index"] == ROWS

    died = [kill(laptop, name) for name in ("api", "features")]
    told = laptop.run("status")
    assert told.returncode == 3
    assert [line.split()[0].lower() for line in told.stdout.splitlines() if "not running" in line] == died
    again = laptop.run("up", "--detach")

    assert again.returncode == 0, again.stdout
    assert figures(laptop, "passengers") == before
    assert requests.get(f"{laptop.url('features')}/series/passengers", timeout=60).json()["count"] == ROWS


def test_the_admin_token_is_where_the_box_says_and_nobody_else_can_read_it(laptop: Laptop) -> None:
    path: Path = laptop.home / "admin-token"

    assert path.stat().st_mode & 0o077 == 0
    assert laptop.get("/management/audit").status_code == 401
    secret = path.read_text().strip()
    told = requests.get(
        f"{laptop.url('api')}/management/audit", headers={"Authorization": f"Bearer {secret}"}, timeout=60
    )
    assert told.status_code == 200


def test_status_shows_five_services_and_down_stops_them_all(laptop: Laptop) -> None:
    told = laptop.run("status")
    assert told.returncode == 0, told.stdout
    assert told.stdout.count(" running ") == 5
    started = json.loads((laptop.home / "services.json").read_text())

    assert laptop.run("down").returncode == 0

    assert not [name for name in SERVICES if psutil.pid_exists(started[name]["pid"])]
    assert not (laptop.home / "postgres" / "data" / "postmaster.pid").exists()
