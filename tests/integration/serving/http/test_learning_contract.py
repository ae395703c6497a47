"""The learning endpoints answer as their document says, whatever is pushed, to a task of values and to a binary one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import sqlalchemy as sa
from flask_openapi3.openapi import OpenAPI
from hypothesis import strategies as some

from core.config.settings import Settings
from serving.app import EXTENSION, create_app
from tests.support.paths import REPOSITORY
from tests.support.serving.contract import statuses
from tests.support.serving.guarded import bearer, token

TASKS = ("live", "phishing")
LEARNING = "^/(predict|train|predict_learn|predict_many|model_metrics|feedback)$"


@pytest.fixture
def app(settings: Settings, tmp_path: Path) -> Iterator[OpenAPI]:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in TASKS:
        shutil.copy(REPOSITORY / "tasks" / f"{name}.yaml", folder)
    app = create_app(settings.model_copy(update={"tasks": folder, "mlflow_url": "http://127.0.0.1:9"}))
    yield app
    app.extensions[EXTENSION].stop()


def to_a_task(case: schemathesis.Case, data: some.DataObject) -> None:
    """Speaks to a task that there is, and often uses an id again."""
    case.query["task"] = data.draw(some.sampled_from(TASKS))
    for row in case.body if isinstance(case.body, list) else [case.body]:
        if isinstance(row, dict) and "id" in row:
            row["id"] = data.draw(some.sampled_from(["a", "b", 3]) | some.just(row["id"]))


def test_every_endpoint_keeps_to_the_document(app: OpenAPI, engine: sa.Engine) -> None:
    met = statuses(app, LEARNING, to_a_task, times=50, headers=bearer(token(engine, "ci")))

    assert len(met) == 7
    assert all(200 in found for found in met.values())
    assert {409, 422} <= met["POST /predict_learn"]
    assert 207 in met["POST /train"]


def test_without_a_token_the_document_is_kept_to_as_well(app: OpenAPI, engine: sa.Engine) -> None:
    token(engine, "ci")

    met = statuses(app, LEARNING, to_a_task, times=5)

    assert met["POST /train"] == met["POST /predict_learn"] == met["POST /feedback"] == {401}
