"""The job that asks for tomorrow's predictions, so that each session has one in the log."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from werkzeug.serving import make_server

from contender.cluster import predict
from core.config.settings import Settings
from core.errors import NotFoundError, UnreachableError
from tests.support.serving.world import World, make_world, open_api
from tests.support.waiting import wait_for


@pytest.fixture
def world(settings_with_mlflow: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    return make_world(settings_with_mlflow, engine, tmp_path / "tasks")


@pytest.fixture
def asking(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The settings of a job beside a running API."""
    monkeypatch.setattr(predict, "WAIT_SECONDS", 0.1)
    with open_api(world.settings, world.stage.clock) as api:
        server = make_server("127.0.0.1", 0, api.client.application, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield world.settings.model_copy(update={"api_url": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
        server.server_close()


def test_each_task_is_requested_and_the_answer_is_stored(world: World, asking: Settings) -> None:
    naive, _ = world.versions
    world.crown(naive)
    wait_for(lambda: "by version" in _said(asking))

    message = predict.run(asking)

    task = world.stage.task.name
    assert message == f"{task} 2002-07-01: 1.0 by version {naive.version} (naive)"
    wait_for(lambda: world.logged() >= 2)


def _said(settings: Settings) -> str:
    try:
        return predict.run(settings)
    except UnreachableError:
        return ""


def test_without_a_champion_it_is_tried_again(asking: Settings) -> None:
    with pytest.raises(UnreachableError, match="has no champion yet"):
        predict.run(asking)


def test_an_api_that_is_away_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "WAIT_SECONDS", 0.1)

    with pytest.raises(UnreachableError, match="did not answer"):
        predict.run(world.settings.model_copy(update={"api_url": "http://127.0.0.1:9"}))


def test_a_task_that_the_api_does_not_know_is_a_fault_of_the_configuration(asking: Settings) -> None:
    file = next(asking.tasks.glob("*.yaml"))
    file.rename(file.with_name("another.yaml"))

    with pytest.raises(NotFoundError, match="knows no task another"):
        predict.run(asking)
