"""The ingestion and the features service answer as their documents say, whatever they are asked."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import schemathesis
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_openapi3.openapi import OpenAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as trials

import features.api
import ingestion.api
from core.config.settings import Settings

BOTH = pytest.mark.parametrize("create_app", [ingestion.api.create_app, features.api.create_app])


@pytest.fixture
def stream(settings: Settings) -> FlaskClient:
    return ingestion.api.create_app(settings).test_client()


@pytest.fixture
def lags(settings: Settings) -> FlaskClient:
    return features.api.create_app(settings).test_client()


@BOTH
def test_every_endpoint_keeps_to_the_document(create_app: Callable[[Settings], OpenAPI], settings: Settings) -> None:
    document = schemathesis.openapi.from_wsgi("/openapi.json", create_app(settings))

    for found in document.get_all_operations():
        operation = found.ok()

        @trials(
            max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def keeps_to_it(case: schemathesis.Case) -> None:
            case.call_and_validate()

        keeps_to_it()


@BOTH
def test_a_database_without_tables_is_told_as_such(
    create_app: Callable[[Settings], OpenAPI], settings: Settings, engine: sa.Engine
) -> None:
    client = create_app(settings.model_copy(update={"schema_name": f"{settings.schema_name}_none"})).test_client()
    for path in ("/status", "/next") if create_app is ingestion.api.create_app else ("/info",):
        told = client.get(path)

        assert (told.status_code, told.get_json()["type"]) == (503, "not_migrated")
        assert "contender migrate" in told.get_json()["detail"]


@BOTH
def test_the_pages_are_there_without_a_network(create_app: Callable[[Settings], OpenAPI], settings: Settings) -> None:
    client = create_app(settings).test_client()

    assert client.get("/swagger").status_code == 200
    home = client.get("/").text
    assert "{" not in home
    assert "http" not in home


def test_asking_for_the_head_of_the_next_observation_takes_none(stream: FlaskClient) -> None:
    assert stream.head("/next").status_code == 405

    assert stream.get("/next").get_json()["observation_id"] == 1


@pytest.mark.parametrize(
    ("path", "status", "named"),
    [
        ("/next?lease=0", 422, "lease"),
        ("/next?lease=3601", 422, "lease"),
        ("/next?lease=soon", 422, "lease"),
        ("/next?series=%00", 422, "series"),
        ("/next?task=A", 422, "task"),
        ("/next?task=mine", 404, "live, phishing"),
        ("/next?task=airline&lease=60", 404, "live, phishing"),
        ("/next?serie=SPY", 422, "series, lease, in_order, task"),
        ("/next?series=SPX", 404, "Known series: airline, phishing."),
        ("/status?series=SPX", 404, "Known series: airline, phishing."),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(stream: FlaskClient, path: str, status: int, named: str) -> None:
    told = stream.get(path)

    assert (told.status_code, told.mimetype) == (status, "application/problem+json")
    assert named in told.get_json()["detail"]
    assert stream.get("/next").get_json()["observation_id"] == 1


def test_a_task_to_which_rows_are_pushed_may_be_named(stream: FlaskClient) -> None:
    assert stream.get("/next?lease=60&task=phishing").status_code == 200


def test_without_the_task_that_a_series_is_for_nothing_is_leased(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    stream = ingestion.api.create_app(settings.model_copy(update={"tasks": tmp_path / "tasks"})).test_client()

    assert stream.get("/next?lease=60").status_code == 404
    assert stream.get("/next").get_json()["observation_id"] == 1


def test_with_leases_an_empty_answer_says_when_to_come_back(stream: FlaskClient) -> None:
    for _ in range(144):
        assert stream.get("/next?lease=60").status_code == 200

    nothing = stream.get("/next")

    assert (nothing.status_code, nothing.data) == (204, b"")
    assert 1 <= int(nothing.headers["Retry-After"]) <= 60
    assert stream.get("/status").get_json()["completed"] is False


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ('{"series_id": "a", "value": NaN}', "application/json", 422),
        ('{"series_id": "a", "value": 1e999}', "application/json", 422),
        ('{"series_id": "a", "value": "1"}', "application/json", 422),
        ('{"series_id": "a", "value": true}', "application/json", 422),
        ('{"series_id": "", "value": 1}', "application/json", 422),
        ('{"series_id": "a\\u0000", "value": 1}', "application/json", 422),
        ('{"series_id": "\\ud800", "value": 1}', "application/json", 422),
        ('{"series_id": "' + "a" * 201 + '", "value": 1}', "application/json", 422),
        ('{"value": 1}', "application/json", 422),
        ("[]", "application/json", 422),
        ("{", "application/json", 400),
        ('{"series_id": "a", "value": 1}', "text/plain", 415),
        ('{"series_id": "' + "a" * 2**20 + '", "value": 1}', "application/json", 413),
    ],
)
def test_a_value_that_cannot_be_added_is_refused(lags: FlaskClient, body: str, kind: str, status: int) -> None:
    told = lags.post("/add", data=body, content_type=kind)

    assert (told.status_code, told.mimetype) == (status, "application/problem+json")
    assert lags.get("/info").get_json()["series"] == 0


def test_a_value_with_fields_that_nobody_asked_for_is_added(lags: FlaskClient) -> None:
    body = {"series_id": "a", "value": 1.5, "unit": "thousands"}

    assert lags.post("/add", json=body).get_json() == {"features": {}, "target": 1.5, "available_lags": 0}


@pytest.mark.parametrize("name", ["a/b", "a//b", "été", "100 % sure?", "a" * 200])
def test_a_series_of_any_name_can_be_read(lags: FlaskClient, name: str) -> None:
    lags.post("/add", json={"series_id": name, "value": 1})

    told = lags.get("/series/" + quote(name, safe=""))

    assert told.get_json() == {"series_id": name, "count": 1, "values": [1]}


def test_an_unknown_series_is_not_found(lags: FlaskClient) -> None:
    assert lags.get("/series/nobody").status_code == 404
