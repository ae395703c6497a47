"""The management endpoints answer an administrator as their document says, of stored tasks as of pushed ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import strategies as some

from core.config.settings import Settings
from tests.support.serving.contract import Fit, statuses
from tests.support.serving.guarded import bearer, token
from tests.support.serving.managed import Managed, managed
from tests.support.waiting import wait_for

ROW = {"features": {"x": 1.0}, "target": 0.5}
ROWS = [ROW, {**ROW, "id": "half"}, {**ROW, "id": "half"}]


@pytest.fixture
def at(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> Iterator[Managed]:
    """Versions of a stored task, rows learned by `live`, and rows of `phishing` in quarantine: neither 0 nor 1."""
    with managed(settings_with_registry, engine, tmp_path / "tasks", "phishing") as at:
        at.learn(5)
        assert at.api.client.post("/train?task=phishing", json=ROWS).status_code == 207
        yield at


def to_what_there_is(at: Managed) -> Fit:
    """Names a task, a version and a row that there are, more often than not."""
    names = (at.world.stage.task.name, "live", "phishing")
    declared = {name: at.get(f"/management/tasks/{name}/configuration")["declaration"] for name in names}

    def fit(case: schemathesis.Case, data: some.DataObject) -> None:
        small, task = some.integers(0, 3), data.draw(some.sampled_from(names))
        if "task" in case.path_parameters:
            case.path_parameters["task"] = task
        if "id" in case.path_parameters:
            case.path_parameters["id"] = data.draw(small | some.just(case.path_parameters["id"]))
        if isinstance(case.body, dict):
            if case.operation.path.endswith("/rollback"):
                case.body.setdefault("to", None)
            for name in {"version", "to", "expected_number"} & set(case.body):
                case.body[name] = data.draw(small | some.just(case.body[name]))
            if "declaration" in case.body:
                case.body["declaration"] = data.draw(some.just(declared[task]) | some.just(case.body["declaration"]))

    return fit


def test_every_endpoint_keeps_to_the_document(at: Managed) -> None:
    met = statuses(at.api.client.application, "^/management/", to_what_there_is(at), times=40, headers=at.admin)

    assert len(met) == 13
    assert {label for label, found in met.items() if not found & {200, 202}} == set()
    assert {200, 404, 422} <= met["POST /management/tasks/{task}/promote"]
    assert {200, 404, 409} <= met["POST /management/tasks/{task}/quarantine/{id}/release"]
    assert {200, 409, 422} <= met["PUT /management/tasks/{task}/configuration"]


def test_nobody_else_is_told_more_than_the_document_says(at: Managed) -> None:
    app, trainer = at.api.client.application, bearer(token(at.engine, "ci"))
    wait_for(lambda: at.api.client.get("/management/audit", headers=trainer).status_code == 403)

    strangers = statuses(app, "^/management/", to_what_there_is(at), times=3)
    trainers = statuses(app, "^/management/", to_what_there_is(at), times=3, headers=trainer)

    assert {label: found for label, found in strangers.items() if found != {401}} == {}
    assert {label: found for label, found in trainers.items() if found != {403}} == {}
