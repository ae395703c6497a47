"""Who may take and add: on this machine anybody until a trainer token was made, then its holders; reading is open."""

from typing import Any

import pytest
import requests
import sqlalchemy as sa
from flask.testing import FlaskClient

import features.api
import ingestion.api
from core.auth import audit, tokens
from core.auth.tokens import Role
from core.config.settings import Settings
from tests.support.serving.guarded import WHO, bearer, token
from tests.support.serving.small_services import serving
from tests.support.waiting import wait_for

VALUE = {"series_id": "a", "value": 1}
TRAINING = [("GET", "/next", None), ("POST", "/reset", None), ("POST", "/add", VALUE)]
READING = ["/status", "/health", "/health/live", "/info", "/swagger", "/"]


def client(settings: Settings, path: str) -> FlaskClient:
    create_app = features.api.create_app if path in ("/add", "/info") else ingestion.api.create_app
    return create_app(settings).test_client()


@pytest.mark.parametrize(("method", "path", "body"), TRAINING)
def test_once_a_trainer_token_was_made_training_needs_one_for_good(
    settings: Settings, engine: sa.Engine, method: str, path: str, body: Any
) -> None:
    assert client(settings, path).open(path, method=method, json=body).status_code == 200
    trainer = token(engine, "ci")
    service = client(settings, path)  # a worker that does not know better from two seconds ago

    assert service.open(path, method=method, json=body, headers=bearer(trainer)).status_code == 200
    refused = service.open(path, method=method, json=body)
    assert (refused.status_code, refused.get_json()["type"]) == (401, "unauthenticated")
    assert service.open(path, method=method, json=body, headers=bearer("ct_wrong")).status_code == 401

    tokens.revoke(engine, "ci", who=WHO)
    assert client(settings, path).open(path, method=method, json=body).status_code == 401


@pytest.mark.parametrize("path", READING)
def test_reading_stays_open(settings: Settings, engine: sa.Engine, path: str) -> None:
    token(engine, "ci")

    assert client(settings, path).get(path).status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), TRAINING)
def test_the_document_says_what_needs_a_token(settings: Settings, method: str, path: str, body: Any) -> None:
    document = client(settings, path).get("/openapi.json").get_json()

    operation = document["paths"][path][method.lower()]
    assert operation["security"] == [{"bearer": []}]
    assert {"401", "403", "429", "503"} <= set(operation["responses"])
    assert "bearer" in document["components"]["securitySchemes"]


@pytest.mark.parametrize(("method", "path", "body"), TRAINING)
def test_more_than_the_rate_is_turned_away(settings: Settings, method: str, path: str, body: Any) -> None:
    service = client(settings.model_copy(update={"rate_limit": "2/hour"}), path)

    told = [service.open(path, method=method, json=body) for _ in range(3)]

    assert [answer.status_code for answer in told] == [200, 200, 429]
    assert told[2].headers["Retry-After"].isdigit()
    assert service.get("/health").status_code == 200


@pytest.mark.slow
def test_beyond_loopback_it_asks_for_the_token_and_the_audit_log_tells_of_it(
    settings: Settings, engine: sa.Engine
) -> None:
    trainer = token(engine, "ci", Role.TRAINER)

    with serving("ingestion", settings, ingestion_host="0.0.0.0") as service:
        assert requests.get(f"{service.url}/status", timeout=60).status_code == 200
        assert requests.get(f"{service.url}/next", timeout=60).status_code == 401
        assert requests.get(f"{service.url}/next", headers=bearer(trainer), timeout=60).status_code == 200
        wait_for(lambda: {"allowed", "refused"} <= {entry.outcome for entry in audit.newest(engine)})
        requests.post(f"{service.url}/reset", headers=bearer(trainer), timeout=60)

    used = [entry for entry in audit.newest(engine) if (entry.who, entry.outcome) == ("ci", "allowed")]
    assert sum(entry.detail["count"] for entry in used) == 2, "what was counted last is written at the end"


def test_an_administrator_may_train(settings: Settings, engine: sa.Engine) -> None:
    admin = token(engine, "anna", Role.ADMIN)

    assert client(settings, "/next").get("/next", headers=bearer(admin)).status_code == 200
