"""What one sender may ask in a time: counted per token or address, for Flask's routes and for what is ahead of them."""

import fakeredis
import pytest
import redis
import sqlalchemy as sa
from werkzeug.test import EnvironBuilder, run_wsgi_app

from core.auth.tokens import Role
from tests.support.serving.guarded import bearer, guarded, token
from web.problems import RefusedError, refusal_response


def test_one_request_too_many_is_told_when_to_come_again(engine: sa.Engine) -> None:
    service = guarded(engine, rate="3/hour")
    assert [service.client.post("/predict").status_code for _ in range(3)] == [200] * 3

    response = service.client.post("/predict")

    assert (response.status_code, response.mimetype) == (429, "application/problem+json")
    assert response.get_json()["type"] == "too_many_requests"
    assert 3500 < int(response.headers["Retry-After"]) <= 3600


def test_each_token_and_each_address_has_a_count_of_its_own(engine: sa.Engine) -> None:
    service = guarded(engine, host="0.0.0.0", rate="2/hour")
    first, second = token(engine, "first"), token(engine, "second", Role.ADMIN)

    def ask(path: str, address: str, headers: dict[str, str] | None = None) -> int:
        return service.client.post(
            path, json={"target": 1}, headers=headers, environ_base={"REMOTE_ADDR": address}
        ).status_code

    assert [ask("/predict", "10.0.0.1") for _ in range(3)] == [200, 200, 429]
    assert [ask("/predict", "10.0.0.2") for _ in range(3)] == [200, 200, 429]
    assert [ask("/train", "10.0.0.1", bearer(first)) for _ in range(2)] == [200, 200]
    assert ask("/train", "10.0.0.9", bearer(first)) == 429, "a token counts wherever it comes from"
    assert ask("/predict", "10.0.0.9", bearer(first)) == 429, "and for open routes as well"
    assert ask("/train", "10.0.0.1", bearer(second)) == 200
    assert ask("/predict", "10.0.0.1", bearer("ct_wrong")) == 429, "a wrong token is no new count"


def test_reading_is_never_turned_away_unless_it_needs_a_role(engine: sa.Engine) -> None:
    service = guarded(engine, rate="2/hour")
    assert {service.client.get("/series").status_code for _ in range(5)} == {200}
    assert {service.client.get("/health/live").status_code for _ in range(5)} == {200}

    assert [service.client.get("/next").status_code for _ in range(3)] == [200, 200, 429]


def test_what_is_answered_ahead_of_flask_shares_the_count(engine: sa.Engine) -> None:
    service = guarded(engine, rate="10/hour")
    assert service.limits.allowed("address:127.0.0.1", cost=8) == 0
    assert [service.client.post("/predict").status_code for _ in range(3)] == [200, 200, 429]

    assert 3500 < service.limits.allowed("address:127.0.0.1") <= 3600
    assert service.limits.allowed("address:10.0.0.1") == 0
    with pytest.raises(RefusedError) as refused:
        service.limits.check("address:127.0.0.1")
    _, status, headers = run_wsgi_app(refusal_response(refused.value), EnvironBuilder().get_environ())
    assert status.startswith("429")
    assert int(headers["Retry-After"]) > 3500


def test_a_body_larger_than_the_app_accepts_is_refused(engine: sa.Engine) -> None:
    service = guarded(engine)
    service.app.config["MAX_CONTENT_LENGTH"] = 100

    response = service.client.post("/train", json={"target": 1, "padding": "x" * 100})

    assert (response.status_code, response.get_json()["type"]) == (413, "too_large")


def test_the_document_says_what_is_needed_where(engine: sa.Engine) -> None:
    document = guarded(engine).client.get("/openapi.json").get_json()

    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/train"]["post"]["security"] == [{"bearer": []}]
    assert {"401", "403", "503"} < set(document["paths"]["/train"]["post"]["responses"])
    assert "security" not in document["paths"]["/series"]["get"]


def test_two_services_with_one_redis_count_together(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    server = fakeredis.FakeServer()
    monkeypatch.setattr(redis, "from_url", lambda uri, **options: fakeredis.FakeRedis(server=server))
    first, second = (guarded(engine, rate="3/hour", storage="redis://redis:6379/0") for _ in range(2))

    asked = [service.client.post("/predict").status_code for service in (first, second, first, second)]

    assert asked == [200, 200, 200, 429]
    assert 3500 < first.limits.allowed("address:127.0.0.1") <= 3600
