"""What a newcomer does, with the real commands: up, ask, move an alias by hand, up again, stop; without a network."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.e2e.laptop import REPOSITORY, Laptop


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path_factory.mktemp("laptop") / "home")
    yield laptop
    laptop.run("down")


@pytest.fixture(scope="module")
def first_run(laptop: Laptop) -> subprocess.CompletedProcess[str]:
    return laptop.run("up", "--detach")


def test_the_first_run_takes_both_tasks_to_a_served_champion(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    assert "GSPC" in first_run.stdout, "the fallback to the sample is said loudly"
    assert f"curl {laptop.url('api')}/predictionForTomorrow" in first_run.stdout
    assert "Traceback" not in first_run.stdout + first_run.stderr

    answer = laptop.get("/predictionForTomorrow").json()

    assert answer["prediction"] in ("UP", "DOWN")
    assert 0 < answer["confidence"] < 1
    assert answer["prediction"] == ("UP" if answer["confidence"] >= 0.5 else "DOWN")
    assert (answer["threshold"], answer["model_alias"], answer["model_name"]) == (0.5, "champion", "spy")
    assert (answer["as_of"], answer["target_date"]) == ("2018-12-31", "2019-01-02")
    assert (answer["data_source"], answer["stale"]) == ("sample", True)
    assert answer["data_age_days"] > 2000
    assert answer["beats_baseline"] in ("yes", "no", "unproven")


def test_the_airline_forecast_is_for_the_month_after_the_last(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    answer = laptop.get("/tasks/airline/prediction").json()

    assert answer["target_date"] == "1961-01-01"
    assert 350 < answer["prediction"] < 550, "January 1960 had 417 passengers (thousands), the trend rises"


def test_status_shows_every_service_and_champion(laptop: Laptop, first_run: subprocess.CompletedProcess[str]) -> None:
    told = laptop.run("status")

    assert told.returncode == 0
    assert told.stdout.count("running") == 5
    assert "not running" not in told.stdout
    assert "airline" in told.stdout
    assert "spy" in told.stdout


def test_every_contender_has_a_version_a_run_and_its_dataset_in_mlflow(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    for task in ("spy", "airline"):
        versions = laptop.registry("GET", f"model-versions/search?filter=name%3D'{task}'")["model_versions"]
        tags = [{tag["key"]: tag["value"] for tag in version["tags"]} for version in versions]
        aliases = laptop.registry("GET", f"registered-models/get?name={task}")["registered_model"]["aliases"]

        assert {alias["alias"] for alias in aliases} == {"champion", "challenger"}
        assert {"contender", "trained_through", "data_hash", "artifact_digest", "code_version"} <= set(tags[0])
        assert len({tag["contender"] for tag in tags}) == len(tags) >= 5
        run = laptop.registry("GET", f"runs/get?run_id={versions[0]['run_id']}")["run"]
        assert run["inputs"]["dataset_inputs"]
        assert run["data"]["metrics"]
        assert run["data"]["params"]


def test_an_alias_moved_by_hand_in_mlflow_is_served_soon_and_left_alone(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    before = laptop.get("/predictionForTomorrow").json()
    aliases = laptop.registry("GET", "registered-models/get?name=spy")["registered_model"]["aliases"]
    challenger = next(alias["version"] for alias in aliases if alias["alias"] == "challenger")

    laptop.registry("POST", "registered-models/alias", {"name": "spy", "alias": "champion", "version": challenger})

    def served() -> bool:
        answer = laptop.get("/predictionForTomorrow")
        assert answer.status_code == 200
        told = answer.json()
        is_new = str(told["model_version"]) == str(challenger)
        assert is_new == (told["contender"] != before["contender"])
        return is_new

    wait_until(served, 30)
    promoted = laptop.run("promote", "spy")
    assert promoted.returncode == 0, promoted.stdout
    wait_until(served, 5)  # what a person moved by hand stays; each worker asks for itself
    released = laptop.run("unpin", "spy", "--why", "seen enough")
    assert released.stdout.strip() == "Released: champion."


def test_a_second_run_joins_and_finds_nothing_to_do(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    versions = laptop.registry("GET", "model-versions/search?filter=name%3D'spy'")["model_versions"]

    again = laptop.run("up", "--detach", MODEL_NAME="snarimax")

    assert again.returncode == 0, again.stdout + again.stderr
    assert "MODEL_NAME=snarimax counts when services start" in again.stdout + again.stderr
    assert len(laptop.registry("GET", "model-versions/search?filter=name%3D'spy'")["model_versions"]) == len(versions)


def test_each_job_runs_as_a_module_as_on_a_cluster(laptop: Laptop, first_run: subprocess.CompletedProcess[str]) -> None:
    for module in ("ingestion", "features", "training", "training.promote"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--task", "airline"],
            cwd=REPOSITORY,
            env=laptop.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

        assert done.returncode == 0, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, "one summary line"


def test_after_down_a_foreground_run_goes_on_and_ctrl_c_stops_everything(
    laptop: Laptop, first_run: subprocess.CompletedProcess[str]
) -> None:
    served = laptop.get("/predictionForTomorrow").json()
    assert laptop.run("down").returncode == 0
    assert laptop.run("status").returncode == 3

    foreground = subprocess.Popen(
        [sys.executable, "-m", "contender", "up"],
        cwd=REPOSITORY,
        env=laptop.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert foreground.stdout is not None
    lines: list[str] = []
    for line in foreground.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    again = laptop.get("/predictionForTomorrow").json()
    assert {key: again[key] for key in ("model_version", "confidence", "as_of")} == {
        key: served[key] for key in ("model_version", "confidence", "as_of")
    }
    started = json.loads((laptop.home / "services.json").read_text())

    foreground.send_signal(signal.SIGINT)
    rest, _ = foreground.communicate(timeout=60)

    assert foreground.returncode == 0
    assert "nothing is lost" in rest
    assert not (laptop.home / "services.json").exists()
    for name in ("mlflow", "api", "ingestion", "features"):
        assert not psutil.pid_exists(started[name]["pid"])
    assert not (laptop.home / "postgres" / "data" / "postmaster.pid").exists()


def test_a_busy_port_is_told_with_its_remedy_and_no_traceback(tmp_path: Path) -> None:
    import socket

    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        busy = Laptop(tmp_path / "home", {"api": squatter.getsockname()[1]})

        told = busy.run("up", "--detach")

    assert told.returncode == 42
    assert re.search(r"Port \d+, which the API needs, is in use", told.stdout)
    assert "CONTENDER_API_PORT=" in told.stdout
    assert "Traceback" not in told.stdout + told.stderr
