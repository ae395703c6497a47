"""What a question may ask with: the same on the way past Flask and through it, and as the document says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.config.settings import Settings
from tests.support.serving.world import Api, World, make_world, open_api


@pytest.fixture
def world(settings_with_registry: Settings, engine: sa.Engine, tmp_path: Path) -> World:
    world = make_world(settings_with_registry, engine, tmp_path / "tasks")
    world.crown(world.versions[0])
    return world


@pytest.fixture
def api(world: World) -> Iterator[Api]:
    with open_api(world.settings) as api:
        yield api


def test_a_threshold_for_a_number_is_an_invalid_question(api: Api, world: World) -> None:
    response = api.client.get(f"{world.path}?threshold=0.5")

    assert (response.status_code, response.get_json()["type"]) == (422, "invalid")
    assert "predicts a number" in response.get_json()["detail"]


def test_a_misspelt_parameter_is_refused_however_often_the_right_question_was_asked(api: Api, world: World) -> None:
    for _ in range(2):
        assert api.client.get(world.path).status_code == 200
        response = api.client.get(f"{world.path}?treshold=0.6")

        assert (response.status_code, response.get_json()["type"]) == (422, "invalid")
        assert response.get_json()["detail"] == (
            f"{world.path} takes no query parameter 'treshold'; it takes threshold."
        )


def test_refused_questions_are_counted_and_not_logged_as_predictions(api: Api, world: World) -> None:
    api.client.get(f"{world.path}?treshold=0.6")

    samples = api.client.get("/metrics").text
    assert 'http_requests_total{route="/tasks/<task>/prediction",status="422"} 1.0' in samples
    assert world.logged() == 0


def test_the_document_goes_from_predictions_to_metrics_and_the_page_names_the_same(api: Api) -> None:
    document = api.ask("/openapi.json")
    linked = re.findall(r'<a href="([^"?]+)', api.client.get("/").text)

    public = [path for path in document["paths"] if not path.startswith("/management/")]
    assert public == [
        "/predictionForTomorrow", "/tasks", "/tasks/{task}/prediction", "/predict", "/train", "/predict_learn",
        "/predict_many", "/model_metrics", "/feedback", "/info", "/health", "/health/live", "/health/ready", "/metrics",
    ]  # fmt: skip
    assert [tag["name"] for tag in document["tags"]] == ["predictions", "learning", "management", "service"]
    whole = [path[1:] for path in public if "{" not in path and "get" in document["paths"][path]]
    assert linked == [*whole, "swagger", "openapi.json"]
