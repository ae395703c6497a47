"""Configurations: checked as files are, numbered, never lost, and heeded by the API and by every job."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from core.config import task_overrides
from core.config.settings import Settings
from core.config.tasks import Task
from core.errors import DatabaseUnreachableError
from core.jobs.clock import Clock
from core.jobs.runner import run_job
from serving.runtime.override_loader import OverrideLoader
from serving.runtime.periodic import LogOnce
from tests.support.serving.managed import PUSHED, Managed, managed_without_mlflow, told
from tests.support.waiting import wait_for
from training.models import task_check

LIVE = "/management/tasks/live/configuration"


@pytest.fixture
def at(settings: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    with managed_without_mlflow(settings, engine, tmp_path / "tasks") as at:
        yield at


def changed(at: Managed, **changes: object) -> dict[str, Any]:
    return {**at.get(f"{at.base}/configuration")["declaration"], **changes}


def title(at: Managed) -> str:
    found: str = at.get("/tasks")["tasks"][0]["title"]
    return found


def test_a_task_is_what_its_file_says_until_that_is_replaced(at: Managed) -> None:
    path, file = f"{at.base}/configuration", at.world.stage.task.model_dump(mode="json")
    assert at.get(path) == {
        "task": at.world.stage.task.name,
        "number": 0,
        "origin": "file",
        "declaration": file,
        "trouble": None,
        "history": [],
    }

    made = at.put(path, declaration=changed(at, title="Anew?"), expected_number=0, why="a better title").get_json()

    assert (made["number"], made["origin"], made["changed"]) == (1, "configuration", True)
    wait_for(lambda: title(at) == "Anew?")
    shown = at.get(path)
    assert (shown["number"], shown["origin"], shown["declaration"]["title"]) == (1, "configuration", "Anew?")
    (row,) = shown["history"]
    assert (row["number"], row["who"], row["why"], row["declaration"]["title"]) == (
        1,
        "anna",
        "a better title",
        "Anew?",
    )
    assert at.audited()[0] == ("anna", "configuration replace", "done")


def test_what_counted_before_can_be_restored_and_so_can_the_file(at: Managed) -> None:
    path = f"{at.base}/configuration"
    at.put(path, declaration=changed(at, title="One?"), expected_number=0)
    at.put(path, declaration=changed(at, title="Two?"), expected_number=1)

    one = at.post(f"{path}/restore", to=1).get_json()
    wait_for(lambda: title(at) == "One?")
    file = at.post(f"{path}/restore", to="file", expected_number=3).get_json()
    wait_for(lambda: title(at) == at.world.stage.task.title)

    assert (one["number"], one["origin"]) == (3, "configuration")
    assert (file["number"], file["origin"]) == (4, "file")
    assert [(row["number"], row["origin"]) for row in at.get(path)["history"]] == [
        (4, "file"),
        (3, "configuration"),
        (2, "configuration"),
        (1, "configuration"),
    ]
    assert at.post(f"{path}/restore", to="file").get_json()["changed"] is False
    assert told(at.post(f"{path}/restore", to=9)) == (404, "not_found")
    assert at.audited()[1] == ("anna", "configuration restore", "done")


def test_of_two_who_read_the_same_number_the_second_is_told(at: Managed) -> None:
    path = f"{at.base}/configuration"
    mine, theirs = changed(at, title="Mine?"), changed(at, title="Theirs?")
    at.put(path, declaration=mine, expected_number=0)

    assert told(at.put(path, declaration=theirs, expected_number=0)) == (409, "stale_number")
    assert told(at.post(f"{path}/restore", to="file", expected_number=0)) == (409, "stale_number")
    again = at.put(path, declaration=mine, expected_number=0).get_json()
    assert (again["number"], again["changed"]) == (1, False)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"titel": "?"}, "did you mean `title`"),
        ({"name": "other"}, "names its task 'other'"),
        ({"features": [{"lap": {"n": 1}}]}, "lap"),
        ({"contenders": {"naive": {"kind": "baseline", "procedure": "navie"}}}, "navie"),
        ({"source": "pushed"}, "source"),
        ({"title": "a\x00b"}, "cannot be stored"),
    ],
)
def test_what_no_file_may_say_is_refused_with_the_reason(at: Managed, changes: dict[str, Any], named: str) -> None:
    response = at.put(f"{at.base}/configuration", declaration=changed(at, **changes), expected_number=0)

    assert told(response) == (422, "invalid_declaration")
    assert named in response.get_json()["detail"]
    assert at.get(f"{at.base}/configuration")["number"] == 0


def test_a_pushed_task_takes_another_contender_without_a_restart(at: Managed) -> None:
    at.learn(30)
    at.loaded.running.follow(None)

    made = at.put(LIVE, declaration={**PUSHED, "serves": "decision_tree"}, expected_number=0)
    wait_for(lambda: at.loaded.contender == "decision_tree")

    assert made.status_code == 200
    info = at.get("/model_metrics")["model_info"]
    assert (info["model_name"], info["rows_learned"]) == ("decision_tree", 30)
    at.learn(5)
    assert at.get("/model_metrics")["model_info"]["rows_learned"] == 35


def test_a_pushed_task_takes_another_schema_and_its_learner_stays(at: Managed) -> None:
    at.learn(3)
    intake = at.loaded.committer

    at.put(LIVE, declaration={**PUSHED, "others": "refuse", "inputs": {"x": {"maximum": 5}}}, expected_number=0)
    wait_for(lambda: at.loaded.task.others == "refuse")

    assert at.loaded.committer is intake
    refused = at.api.client.post("/train", json={"features": {"x": 6.0}, "target": 1.0})
    assert told(refused) == (422, "quarantined")


@pytest.mark.parametrize(
    "changes",
    [{"serves": "nobody"}, {"source": "airline"}, {"contenders": {"linear_regression": {"procedure": "linear"}}}],
)
def test_a_pushed_task_is_checked_likewise(at: Managed, changes: dict[str, Any]) -> None:
    assert told(at.put(LIVE, declaration={**PUSHED, **changes}, expected_number=0)) == (422, "invalid_declaration")


def test_a_file_that_cannot_be_used_is_told_and_can_be_replaced(at: Managed) -> None:
    declaration = changed(at)
    (at.world.settings.tasks / f"{at.world.stage.task.name}.yaml").write_text("name: [")

    shown = at.get(f"{at.base}/configuration")
    assert (shown["declaration"], shown["origin"]) == (None, "file")
    assert "is not YAML" in shown["trouble"]
    at.put(f"{at.base}/configuration", declaration={**declaration, "title": "Mended?"}, expected_number=0)
    wait_for(lambda: title(at) == "Mended?")


@pytest.fixture
def spy_renamed(settings: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The task spy under another title, for jobs that find everything in their environment."""
    document = yaml.safe_load((settings.tasks / "spy.yaml").read_text())
    document = {**document, "title": "Anew?", "start": document["start"].isoformat()}
    with engine.begin() as connection:
        task_overrides.append(connection, "spy", document, who="anna", why="test", expected_number=0)
    for name in ("home", "tasks", "database_url", "schema_name"):
        monkeypatch.setenv(f"CONTENDER_{name.upper()}", str(getattr(settings, name)))
    return settings


class _Done:
    def sentence(self) -> str:
        return "done"


def test_jobs_and_commands_take_the_configuration(spy_renamed: Settings) -> None:
    taken: list[Task] = []

    def job(settings: Settings, task: Task, clock: Clock) -> _Done:
        taken.append(task)
        return _Done()

    assert run_job("promotion", job, ["--task", "spy"]) == 0
    assert run_job("promotion", job, ["--task", "airline"]) == 0

    assert taken[0].title == "Anew?"
    assert taken[1] == task_check.load(spy_renamed.tasks, "airline")
    assert task_check.in_force(spy_renamed, "spy") == taken[0]


def test_a_database_that_does_not_answer_is_not_one_without_configurations(
    spy_renamed: Settings, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "postgresql+psycopg2://nobody@127.0.0.1:9/none"
    away = sa.create_engine(nowhere)
    heard = OverrideLoader(engine, spy_renamed.bundles, LogOnce()).newest()
    monkeypatch.setenv("CONTENDER_DATABASE_URL", nowhere)

    assert run_job("promotion", lambda *_: pytest.fail("it ran"), ["--task", "spy"]) == 75
    with pytest.raises(DatabaseUnreachableError):
        task_check.in_force(spy_renamed.model_copy(update={"database_url": nowhere}), "spy")
    remembered = OverrideLoader(away, spy_renamed.bundles, LogOnce()).newest()

    assert remembered == heard
    assert remembered["spy"].number == 1
