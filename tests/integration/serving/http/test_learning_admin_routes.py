"""Learning paused and resumed, rows released from the quarantine, models loaded again: by an administrator."""

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.serving.managed import Managed, managed, managed_without_mlflow, told
from tests.support.waiting import wait_for

LIVE = "/management/tasks/live"
OUTLIER = {"features": {"x": 4.0}, "target": 1e6}


@pytest.fixture
def at(settings: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed_without_mlflow(settings, engine, tmp_path / "tasks") as at:
        yield at


def learned(at: Managed) -> int:
    rows: int = at.get("/model_metrics")["model_info"]["rows_learned"]
    return rows


def test_what_comes_in_a_pause_is_learned_when_it_ends(at: Managed) -> None:
    at.learn(5)

    paused = at.post(f"{LIVE}/pause", why="dirty data").get_json()
    at.learn(3)
    during = learned(at)
    resumed = at.post(f"{LIVE}/resume").get_json()

    assert paused == {"task": "live", "learning": "paused", "event_id": 6, "changed": True}
    assert during == 5
    assert resumed == {"task": "live", "learning": "on", "event_id": 10, "changed": True}
    assert learned(at) == 8
    assert at.audited()[:2] == [("anna", "resume", "done"), ("anna", "pause", "done")]


def test_a_pause_in_a_pause_changes_nothing(at: Managed) -> None:
    assert at.post(f"{LIVE}/resume").get_json() == {
        "task": "live",
        "learning": "on",
        "event_id": None,
        "changed": False,
    }
    at.post(f"{LIVE}/pause")

    again = at.post(f"{LIVE}/pause").get_json()

    assert again == {"task": "live", "learning": "paused", "event_id": 1, "changed": False}
    assert at.get("/model_metrics")["model_info"]["last_event_id"] == 1


def test_tasks_with_a_source_neither_pause_nor_quarantine_rows(at: Managed) -> None:
    for path in ("pause", "resume", "quarantine/1/release"):
        assert told(at.post(f"{at.base}/{path}")) == (409, "not_pushed")
    response = at.api.client.get(f"{at.base}/quarantine", headers=at.admin)
    assert told(response) == (409, "not_pushed")
    assert told(at.post("/management/tasks/nothing/pause")) == (404, "not_found")


def test_a_row_in_quarantine_is_learned_when_it_is_released_and_once(at: Managed) -> None:
    at.learn(20)
    assert at.api.client.post("/train", json=OUTLIER).status_code == 422
    assert at.api.client.post("/train", json={**OUTLIER, "id": "mine"}).status_code == 422

    mine, nameless = at.get(f"{LIVE}/quarantine")["rows"]
    released = at.post(f"{LIVE}/quarantine/{nameless['id']}/release", why="it was so").get_json()

    assert (mine["event_id"], mine["reason"], mine["target"]) == ("mine", "outlier", 1e6)
    assert released == {"task": "live", "id": nameless["id"], "event_id": 21}
    assert learned(at) == 21
    assert [row["id"] for row in at.get(f"{LIVE}/quarantine")["rows"]] == [mine["id"]]
    every = at.get(f"{LIVE}/quarantine?all=true&limit=2")["rows"]
    assert (every[1]["released_by"], every[1]["released_why"], every[1]["seq"]) == ("anna", "it was so", 21)
    assert told(at.post(f"{LIVE}/quarantine/{nameless['id']}/release")) == (409, "released")
    assert told(at.post(f"{LIVE}/quarantine/999/release")) == (404, "not_found")
    assert at.audited()[0] == ("anna", "release", "done")


def test_a_row_that_was_released_is_answered_when_it_is_sent_again(at: Managed) -> None:
    at.learn(20)
    row = {**OUTLIER, "id": "mine"}
    for _ in range(2):
        assert at.api.client.post("/predict_learn", json=row).status_code == 422
    (mine,) = at.get(f"{LIVE}/quarantine")["rows"]
    at.post(f"{LIVE}/quarantine/{mine['id']}/release", why="it was so")
    at.learn(1)

    again = at.api.client.post("/predict_learn", json=[row, {**OUTLIER, "id": "another"}])
    otherwise = at.api.client.post("/predict_learn", json={**row, "target": 2e6})
    label_of_another = at.api.client.post("/train", json={"target": 1e9, "id": "mine"})

    assert again.status_code == 207
    assert again.get_json()[0]["prediction"] is not None
    assert again.get_json()[1]["type"] == "quarantined"
    assert (told(otherwise), told(label_of_another)) == ((409, "conflict"), (409, "conflict"))
    assert learned(at) == 22
    assert [row["event_id"] for row in at.get(f"{LIVE}/quarantine")["rows"]] == ["another"]


def test_an_outlying_label_is_held_back_though_its_features_are_known(at: Managed) -> None:
    at.learn(20)
    assert at.api.client.post("/predict", json={"features": {"x": 4.0}, "id": "mine"}).status_code == 200

    assert told(at.api.client.post("/train", json={"target": 1e6, "id": "mine"})) == (422, "quarantined")

    assert learned(at) == 20


def test_a_release_that_died_before_it_was_noted_is_noted_later_and_learned_once(
    at: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise SystemError("the power went")

    at.learn(20)
    at.api.client.post("/train", json=OUTLIER)
    (row,) = at.get(f"{LIVE}/quarantine")["rows"]
    with monkeypatch.context() as patched:
        patched.setattr("training.event_log.quarantine.release", die)
        assert at.post(f"{LIVE}/quarantine/{row['id']}/release").status_code == 500

    again = at.post(f"{LIVE}/quarantine/{row['id']}/release").get_json()

    assert again["event_id"] == 21
    assert learned(at) == 21


def test_an_id_that_was_used_since_with_other_content_is_a_conflict(at: Managed) -> None:
    at.learn(20)
    at.api.client.post("/train", json={**OUTLIER, "id": "mine"})
    at.api.client.post("/train", json={"features": {"x": 4.0}, "target": 8.0, "id": "mine"})
    (row,) = at.get(f"{LIVE}/quarantine")["rows"]

    assert told(at.post(f"{LIVE}/quarantine/{row['id']}/release")) == (409, "conflict")

    assert at.get(f"{LIVE}/quarantine")["rows"][0]["released_at"] is None


def test_a_reload_restores_the_learner_and_says_the_same(at: Managed) -> None:
    at.learn(30)
    before, asked = at.loaded, {"features": {"x": 3.0}}
    said = at.api.client.post("/predict", json=asked).get_json()

    answer = at.post(f"{LIVE}/reload", why="to be sure")
    wait_for(lambda: at.loaded is not before)

    assert answer.status_code == 202
    assert (answer.get_json()["reload"], answer.get_json()["within_seconds"]) == (1, 0.2)
    assert at.api.client.post("/predict", json=asked).get_json() == said
    at.learn(5)
    assert learned(at) == 35
    assert at.audited()[0] == ("anna", "reload", "asked")


def test_a_learner_that_was_loaded_again_leaves_neither_a_thread_nor_a_connection_behind(at: Managed) -> None:
    at.learn(5)
    before = weakref.ref(at.loaded.committer)

    at.post(f"{LIVE}/reload")

    wait_for(lambda: before() is None)  # and a connection goes back with who holds it
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("group-commit")]


def test_a_reload_loads_and_checks_a_champion_that_has_not_changed(
    settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path
) -> None:
    with managed(settings_with_registry, engine, tmp_path / "tasks") as at:
        version = at.world.versions[0]
        at.world.crown(version)
        wait_for(lambda: at.api.version(at.world.path) == version.version)
        (model,) = (at.world.settings.bundles / version.task / version.artifact_digest).rglob("model.pkl")
        model.write_bytes(b"changed")

        at.post(f"{at.base}/reload")
        wait_for(lambda: model.exists() and model.read_bytes() != b"changed")

        assert at.api.version(at.world.path) == version.version
