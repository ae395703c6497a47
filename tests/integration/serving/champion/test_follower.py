"""The API follows the champion alias of a real registry while it serves."""

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
import yaml

from core.config.settings import Settings
from core.config.task_files import load_task, task_names
from core.config.tasks import Task
from core.db.pipeline_tables import datasets
from core.jobs.clock import FixedClock
from serving.__main__ import main
from tests.support.paths import TASKS
from tests.support.serving.world import World, make_world, open_api
from tests.support.stage import a_task, known, month
from tests.support.waiting import wait_for
from training.models import catalog
from training.models.base import serialize


@pytest.fixture
def world(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    return make_world(settings_with_registry, engine, tmp_path / "tasks")


def test_before_there_is_a_champion_the_api_is_ready_and_says_what_to_run(world: World) -> None:
    with open_api(world.settings) as api:
        response = api.client.get(world.path)

        assert response.status_code == 503
        assert response.mimetype == "application/problem+json"
        assert response.get_json()["type"] == "no_champion"
        assert f"contender run {world.stage.task.name}" in response.get_json()["detail"]
        ready = api.client.get("/health/ready")
        assert ready.status_code == 200
        assert ready.get_json()["registry"]["state"] == "fresh"
        assert ready.get_json()["champions"] == {world.stage.task.name: None}


def test_the_champion_answers_from_the_latest_data(world: World) -> None:
    naive, _ = world.versions
    world.crown(naive)

    with open_api(world.settings, world.stage.clock) as api:
        response = api.client.get(world.path)
        (told,) = api.ask("/info")["tasks"]

    assert response.get_json() == {
        "prediction": 1.0, "model_source": "mlflow", "model_alias": "champion", "model_name": world.stage.task.name,
        "model_version": naive.version, "contender": "naive", "as_of": month(29).isoformat(),
        "target_date": month(30).isoformat(), "data_source": "airline", "data_age_days": 62, "stale": True,
        "beats_baseline": "unproven",
    }  # fmt: skip
    assert response.headers["X-Model-Version"] == str(naive.version)
    assert response.headers["X-Run-Id"] == naive.run_id
    with world.stage.engine.connect() as connection:
        (data_hash,) = connection.execute(sa.select(datasets.c.data_hash)).scalars()
    assert told["data"]["data_hash"] == data_hash
    assert told["champion"]["artifact_digest"] == naive.artifact_digest


def test_the_shortcut_answers_as_the_route_does_to_the_byte(world: World) -> None:
    world.crown(world.versions[0])

    with open_api(world.settings) as api:
        by_route, by_shortcut = api.client.get(world.path), api.client.get(world.path)

        prediction = api.service.state.predictions[world.stage.task.name]
        assert len(prediction.replies) == 1
        prediction.replies.clear()
        by_route_again = api.client.get(world.path)

    assert by_route.data == by_shortcut.data == by_route_again.data
    names = [[name for name, _ in response.headers] for response in (by_route, by_shortcut)]
    assert names[0] == names[1]
    for name in set(names[0]) - {"X-Prediction-Id"}:
        assert by_route.headers[name] == by_shortcut.headers[name]


def test_a_moved_alias_is_served_and_no_request_fails_or_mixes_versions(world: World) -> None:
    values = {version.version: 1.0 + number / 100 for number, version in enumerate(world.versions)}
    world.crown(world.versions[0])
    faults: list[object] = []
    done = threading.Event()

    with open_api(world.settings) as api:

        def keep_asking() -> None:
            client = api.client.application.test_client()
            while not done.is_set():
                response = client.get(world.path)
                told = response.get_json()
                version = int(response.headers.get("X-Model-Version", 0))
                if (told.get("model_version"), told.get("prediction")) != (version, values.get(version)):
                    faults.append(told)

        askers = [threading.Thread(target=keep_asking) for _ in range(2)]
        for asker in askers:
            asker.start()
        try:
            for turn in range(1, 7):
                version = world.versions[turn % 2]
                world.crown(version)
                wait_for(lambda version=version: api.version(world.path) == version.version)
        finally:
            done.set()
            for asker in askers:
                asker.join()

    assert faults == []


def test_newer_data_are_answered_from_as_soon_as_the_dataset_is_there(world: World) -> None:
    world.crown(world.versions[0])

    with open_api(world.settings) as api:
        before = api.ask(world.path)
        world.stage.put([500.0])
        wait_for(lambda: api.ask(world.path)["as_of"] == month(30).isoformat())

    assert before["as_of"] == month(29).isoformat()


def test_data_from_after_the_clock_are_not_used(world: World) -> None:
    world.crown(world.versions[0])
    world.stage.put([500.0, 600.0])

    with open_api(world.settings) as api:
        assert api.ask(world.path)["as_of"] == month(31).isoformat()
    with open_api(world.settings, FixedClock(known(31) - timedelta(days=1))) as api:
        assert api.ask(world.path)["as_of"] < month(31).isoformat()


def test_a_new_task_file_is_served_without_a_restart_and_a_deleted_one_no_longer(world: World) -> None:
    other = a_task()
    file = world.settings.tasks / f"{other.name}.yaml"

    with open_api(world.settings) as api:
        file.write_text(yaml.safe_dump(other.model_dump(mode="json")))
        wait_for(lambda: api.client.get(f"/tasks/{other.name}/prediction").status_code == 503)
        assert [task["name"] for task in api.ask("/tasks")["tasks"]] == sorted([other.name, world.stage.task.name])

        file.write_text("name: [")
        wait_for(lambda: "task" in str(api.service.poller._log_once._problems))
        assert api.client.get(f"/tasks/{other.name}/prediction").status_code == 503

        file.unlink()
        wait_for(lambda: api.client.get(f"/tasks/{other.name}/prediction").status_code == 404)


def test_the_evidence_against_the_baseline_is_told(world: World) -> None:
    world.crown(world.versions[1])
    with world.stage.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO decisions"
                " (task, series, session_date, outcome, reason, evidence, evidence_hash, decided_at)"
                " VALUES (:task, 'stage', '2002-01-01', 'HOLD', 'r', CAST(:evidence AS jsonb), 'h', now())"
            ),
            {"task": world.stage.task.name, "evidence": '{"beats_baseline": {"linear": "yes", "naive": "no"}}'},
        )

    with open_api(world.settings) as api:
        assert api.ask(world.path)["beats_baseline"] == "yes"
        assert api.ask("/info")["tasks"][0]["beats_baseline"] == "yes"


def test_what_models_need_is_imported_once_while_the_api_answers_and_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[str] = []
    may_end = threading.Event()

    def warm(task: Task) -> None:
        warmed.append(task.name)
        may_end.wait(20)

    monkeypatch.setattr(catalog, "warm", warm)
    world.crown(world.versions[0])

    with open_api(world.settings) as api:
        assert api.version(world.path) == world.versions[0].version
        wait_for(lambda: warmed)
        world.crown(world.versions[1])
        wait_for(lambda: api.version(world.path) == world.versions[1].version)
        may_end.set()

    assert warmed == [world.stage.task.name]


_LOAD_ALL = """
import pickle, sys
from pathlib import Path
from core.config.task_files import load_task
from training.models import catalog as contenders
from training.models.base import deserialize
contenders.warm(load_task(Path("tasks"), sys.argv[1]))
before = set(sys.modules)
for path in sys.argv[2:]:
    deserialize(Path(path).read_bytes())
print(sorted(set(sys.modules) - before))
"""


@pytest.mark.parametrize("name", task_names(TASKS))
@pytest.mark.slow
def test_after_the_warming_no_model_imports_anything(name: str, tmp_path: Path) -> None:
    task = load_task(TASKS, name)
    features = len(catalog.shape(task, next(iter(task.contenders))).features)
    chance = np.random.default_rng(7)
    paths = []
    for contender in task.contenders:
        made = catalog.make(task, contender)
        rows, labels = 1 + chance.random((60, features)), chance.integers(0, 2, 60).astype(float) + 1
        if task.target.kind == "direction":
            labels -= 1
        if isinstance(made, catalog.Batch):
            model: catalog.Model = made.fit(rows, labels)
        else:
            for row, label in zip(rows, labels.tolist(), strict=True):
                made.learn(row, label)
            model = made
        paths.append(tmp_path / contender)
        paths[-1].write_bytes(serialize(model))

    told = subprocess.run(
        [sys.executable, "-c", _LOAD_ALL, name, *map(str, paths)],
        cwd=TASKS.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert told.stdout == "[]\n"


def test_help_tells_the_settings_and_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "CONTENDER_DATABASE_URL" in capsys.readouterr().out

    with pytest.raises(SystemExit) as ended:
        main(["--port", "8000"])
    assert ended.value.code == 2
