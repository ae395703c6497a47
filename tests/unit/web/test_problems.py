"""Whatever is wrong with a request, the answer is application/problem+json with a sentence that helps."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from core.errors import (
    BusyError,
    ConfigurationError,
    ContenderError,
    DatabaseUnreachableError,
    DataRefusedError,
    IntegrityError,
    NotFoundError,
)
from web.app import create_app
from web.problems import Kind
from web.strict_requests import LIMIT_BYTES


class Row(BaseModel):
    """A body."""

    value: float = Field(ge=0)


class Query(BaseModel):
    """A query."""

    share: float = Field(default=0.5, ge=0, le=1, allow_inf_nan=False)


class TeapotError(ContenderError):
    """An error of one service."""


ERRORS: dict[str, Exception] = {
    "absent": NotFoundError("There is no task 'x'.", "Known tasks: spy."),
    "refused": DataRefusedError("The row is empty."),
    "away": DatabaseUnreachableError("Postgres did not answer.", "Start it."),
    "busy": BusyError("Another process is at work.", "Wait."),
    "changed": IntegrityError("The artifact was changed."),
    "misconfigured": ConfigurationError("/etc/secret-path names no task.", "Correct it."),
    "fault": ZeroDivisionError("secret-internals"),
    "teapot": TeapotError("It is a teapot.", "Brew tea."),
}


@pytest.fixture
def client() -> FlaskClient:
    app = create_app(
        "test", title="Test", description="", version="1", home_page="", kinds={TeapotError: Kind(418, "teapot", "Tea")}
    )

    @app.post("/rows")
    def add(body: Row) -> dict[str, Any]:
        return {"value": body.value}

    @app.get("/ask")
    def ask(query: Query) -> dict[str, Any]:
        return {"share": query.share}

    def raiser(name: str) -> Any:
        def view() -> None:
            raise ERRORS[name]

        return view

    for name in ERRORS:
        app.add_url_rule(f"/{name}", name, raiser(name))
    return app.test_client()


def problem(response: Any) -> dict[str, Any]:
    assert response.mimetype == "application/problem+json"
    told: dict[str, Any] = response.get_json()
    assert set(told) == {"type", "title", "status", "detail"}
    assert told["status"] == response.status_code
    assert told["detail"].endswith(".")
    return told


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("absent", 404, "not_found"),
        ("refused", 422, "data_refused"),
        ("away", 503, "unreachable"),
        ("busy", 409, "busy"),
        ("changed", 503, "integrity"),
        ("teapot", 418, "teapot"),
    ],
)
def test_an_error_of_ours_is_told_with_its_sentence_and_its_remedy(
    client: FlaskClient, name: str, status: int, kind: str
) -> None:
    told = problem(client.get(f"/{name}"))

    assert (told["status"], told["type"]) == (status, kind)
    assert told["detail"] == str(ERRORS[name])


@pytest.mark.parametrize("name", ["misconfigured", "fault"])
def test_a_fault_is_logged_and_its_internals_stay_inside(client: FlaskClient, name: str) -> None:
    with capture_logs() as logs:
        told = problem(client.get(f"/{name}"))

    assert (told["status"], told["type"]) == (500, "fault")
    assert "secret" not in str(told)
    assert any(entry["log_level"] == "error" and entry["path"] == f"/{name}" for entry in logs)


def test_an_unknown_path_is_named(client: FlaskClient) -> None:
    told = problem(client.get("/nowhere"))

    assert told["status"] == 404
    assert "/nowhere" in told["detail"]


def test_a_wrong_method_names_those_that_work(client: FlaskClient) -> None:
    response = client.delete("/ask")

    assert "GET" in problem(response)["detail"]
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        ("{", 400, "not JSON"),
        ("", 400, "not JSON"),
        ("[" * 100_000, 400, "nested"),
        ('{"value": NaN}', 422, "NaN"),
        ('{"value": -Infinity}', 422, "Infinity"),
        ('{"value": 1e999}', 422, "1e999"),
        ('{"value": "many"}', 422, "'many'"),
        ('{"value": -1}', 422, "value"),
        ("{}", 422, "value"),
        ("null", 422, "body"),
        ("[1]", 422, "body"),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_with_the_reason(
    client: FlaskClient, text: str, status: int, word: str
) -> None:
    told = problem(client.post("/rows", data=text, content_type="application/json"))

    assert told["status"] == status
    assert word in told["detail"]


def test_another_media_type_is_refused(client: FlaskClient) -> None:
    told = problem(client.post("/rows", data="value=1", content_type="text/plain"))

    assert told["status"] == 415
    assert "application/json" in told["detail"]


def test_a_body_beyond_the_limit_is_refused(client: FlaskClient) -> None:
    body = b'{"value": 1, "more": "' + b"x" * LIMIT_BYTES + b'"}'

    assert problem(client.post("/rows", data=body, content_type="application/json"))["status"] == 413


def test_a_sound_body_arrives(client: FlaskClient) -> None:
    assert client.post("/rows", json={"value": 2.5}).get_json() == {"value": 2.5}


@pytest.mark.parametrize("share", ["1.01", "-0.1", "nan", "inf", "half", ""])
def test_a_parameter_that_cannot_be_used_is_named_with_its_value(client: FlaskClient, share: str) -> None:
    told = problem(client.get(f"/ask?share={share}"))

    assert told["status"] == 422
    assert told["detail"].startswith("share: ")
    assert repr(share) in told["detail"]


def test_a_long_value_is_not_repeated_whole(client: FlaskClient) -> None:
    assert len(problem(client.get("/ask?share=" + "x" * 5000))["detail"]) < 300
