"""Who is let in: by token and role, and without one on a machine of one's own until the first trainer token."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from werkzeug.test import TestResponse

from contender.servers.processes import Postgres
from core.auth import token_cache, tokens
from core.auth.token_cache import TokenCache
from core.auth.tokens import Role
from core.db.engine import connect, migrate
from core.errors import UnreachableError
from tests.support.serving.guarded import WHO, Guarded, bearer, guarded, token
from web.auth import AccessControl
from web.problems import RefusedError

OUTSIDE = "0.0.0.0"
ROW = {"target": 1.0}


def told(response: TestResponse) -> tuple[int, str]:
    problem: dict[str, Any] = response.get_json()
    return response.status_code, problem["detail"].split(".")[0]


@pytest.fixture
def outside(engine: sa.Engine) -> Guarded:
    return guarded(engine, host=OUTSIDE)


@pytest.fixture
def local(engine: sa.Engine) -> Guarded:
    return guarded(engine)


def test_reading_is_open_and_so_is_predicting(outside: Guarded) -> None:
    assert outside.client.get("/series").status_code == 200
    assert outside.client.post("/predict").status_code == 200
    assert outside.client.get("/health/live").status_code == 200


def test_a_token_of_the_role_is_let_in_under_its_name(engine: sa.Engine, outside: Guarded) -> None:
    trainer, admin = token(engine, "ci"), token(engine, "anna", Role.ADMIN)

    assert outside.client.post("/train", json=ROW, headers=bearer(trainer)).get_json() == {"who": "ci", "target": 1.0}
    assert outside.client.post("/train", json=ROW, headers=bearer(admin)).get_json()["who"] == "anna"
    assert outside.client.get("/management/audit", headers=bearer(admin)).get_json() == {"who": "anna"}


@pytest.mark.parametrize("path", ["/next", "/management/audit"])
def test_tokens_that_are_missing_wrong_expired_or_revoked_are_refused_alike(
    engine: sa.Engine, outside: Guarded, path: str
) -> None:
    good = token(engine, "good", Role.ADMIN)
    revoked = token(engine, "gone", Role.ADMIN)
    tokens.revoke(engine, "gone", who=WHO)
    expired = token(engine, "old", Role.ADMIN, timedelta(seconds=-1))
    unknown = (401, "The bearer token is not known")

    missing = outside.client.get(path)
    assert missing.mimetype == "application/problem+json"
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="contender"'
    assert told(missing)[1].endswith("and none came with it")
    for header in (good, "Bearer", f"Bearer {good}x", f"Bearer {good[:-1]}", f"Basic {good}", "Bearer ct_\xff\x00"):
        wrong = outside.client.get(path, headers={"Authorization": header})
        assert told(wrong) == unknown
        assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    assert told(outside.client.get(path, headers=bearer(expired))) == (401, "The bearer token has expired")
    assert told(outside.client.get(path, headers=bearer(revoked))) == (401, "The bearer token has been revoked")
    assert outside.client.get(path, headers={"Authorization": f"bearer  {good}"}).status_code == 200


def test_a_trainer_does_not_manage(engine: sa.Engine, outside: Guarded) -> None:
    response = outside.client.get("/management/audit", headers=bearer(token(engine, "ci")))

    assert told(response) == (403, "This needs the role admin; the token 'ci' has the role trainer")
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


def test_everything_under_management_needs_an_administrator_marked_or_not_there_or_not(
    engine: sa.Engine, local: Guarded
) -> None:
    for path in ("/management", "/management/", "/management/audit", "/management/forgotten", "/management/nothing"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            assert local.client.open(path, method=method).status_code == 401, (method, path)

    admin = bearer(token(engine, "anna", Role.ADMIN))
    assert local.client.get("/management/forgotten", headers=admin).status_code == 200
    assert local.client.get("/management/nothing", headers=admin).status_code == 404
    assert local.client.get("/managementx").status_code == 404


def test_the_token_is_asked_for_before_anything_of_the_request_is_read(outside: Guarded) -> None:
    assert outside.client.post("/train", data="not json").status_code == 401
    assert outside.client.post("/train?unknown=1", json={}).status_code == 401


def test_on_this_machine_training_needs_no_token_until_one_is_made_for_it(engine: sa.Engine, local: Guarded) -> None:
    token(engine, "anna", Role.ADMIN)
    assert local.client.post("/train", json=ROW).get_json()["who"] == "(this machine)"
    assert local.client.get("/management/audit").status_code == 401

    trainer = token(engine, "ci")

    assert local.client.post("/train", json=ROW).status_code == 401
    assert local.client.post("/train", json=ROW, headers=bearer(trainer)).status_code == 200


def test_a_trainer_token_that_ends_does_not_open_the_door_again(engine: sa.Engine, local: Guarded) -> None:
    token(engine, "short", lifetime=timedelta(seconds=-1))
    assert local.client.get("/next").status_code == 401

    tokens.revoke(engine, "short", who=WHO)
    assert local.client.get("/next").status_code == 401


def test_a_wrong_token_is_refused_where_none_would_be_needed(engine: sa.Engine, local: Guarded) -> None:
    token(engine, "anna", Role.ADMIN)
    tokens.revoke(engine, "anna", who=WHO)

    assert local.client.get("/next", headers=bearer("ct_wrong")).status_code == 401
    assert local.client.get("/next").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "127.0.0.1:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
        ({"Host": "rebound.example.org:8000"}, 401),
        ({"Host": "127.0.0.1.example.org"}, 401),
        ({"Host": "[::1"}, 401),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 401),
    ],
)
def test_a_web_page_from_elsewhere_cannot_train_through_this_machines_browser(
    local: Guarded, headers: dict[str, str], status: int
) -> None:
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/next", "REMOTE_ADDR": "127.0.0.1"}
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}

    try:
        local.access.admit(environ, Role.TRAINER)
        came = 200
    except RefusedError as refused:
        came = refused.kind.status

    assert came == status


def test_a_secret_is_held_against_every_token_whatever_it_is(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [token(engine, f"t{number}") for number in range(5)]
    ring = TokenCache(engine, fresh_seconds=60)
    compared: list[int] = []
    compare: Callable[[bytes, bytes], bool] = token_cache.hmac.compare_digest

    def counting(one: bytes, other: bytes) -> bool:
        compared.append(len(other))
        return compare(one, other)

    monkeypatch.setattr(token_cache.hmac, "compare_digest", counting)

    for secret in (secrets[0], secrets[4], "", "ct_wrong", "x" * 10_000):
        compared.clear()
        found = ring.find(secret)
        assert (found is not None) == (secret in secrets)
        assert compared == [32] * 5


def test_checking_costs_no_query_until_the_knowledge_is_two_seconds_old(engine: sa.Engine) -> None:
    now = [100.0]
    ring = TokenCache(engine, monotonic=lambda: now[0])
    lasting, short = token(engine, "lasting"), token(engine, "short", lifetime=timedelta(seconds=60))
    queries: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_: queries.append(statement))

    for _ in range(100):
        assert ring.find(lasting) is not None
    assert len(queries) == 2

    tokens.revoke(engine, "lasting", who=WHO)
    now[0] += token_cache.FRESH_SECONDS - 0.01
    key = ring.find(lasting)
    assert key is not None
    assert not key.is_revoked
    now[0] += 0.01
    key = ring.find(lasting)
    assert key is not None
    assert key.is_revoked

    key = ring.find(short)
    assert key is not None
    assert not ring.has_expired(key)
    now[0] += 60  # what is known of a token's end holds to the instant, without asking
    assert ring.has_expired(key)


def test_many_requests_at_once_ask_the_database_once(engine: sa.Engine) -> None:
    secret = token(engine, "ci")
    ring = TokenCache(engine, fresh_seconds=60)
    queries: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _k, statement, *_: queries.append(statement))
    found: list[object] = []

    askers = [threading.Thread(target=lambda: found.append(ring.find(secret))) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert len(queries) == 2
    assert len(found) == 8
    assert None not in found


@pytest.mark.slow
def test_without_the_database_nobody_is_let_in_on_old_knowledge(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "postgres" / "data")
    engine = connect(server.database("contender"))
    migrate(engine)
    now = [0.0]
    trainer, admin = token(engine, "ci"), token(engine, "anna", Role.ADMIN)
    service = guarded(engine)
    service.access = AccessControl(engine, OUTSIDE, keyring=TokenCache(engine, monotonic=lambda: now[0]))
    environ = {"HTTP_AUTHORIZATION": f"Bearer {trainer}", "REMOTE_ADDR": "10.0.0.1", "PATH_INFO": "/train"}
    try:
        assert service.access.admit(environ, Role.TRAINER).who == "ci"
        server.stop()
        assert service.access.admit(environ, Role.TRAINER).who == "ci", "what is known is a moment old"

        now[0] += token_cache.FRESH_SECONDS
        for _ in range(3):
            with pytest.raises(UnreachableError, match="Postgres"):
                service.access.admit(environ, Role.TRAINER)
        assert service.access.identity(environ) == "address:10.0.0.1"
        for path, headers in (("/next", {}), ("/next", bearer(trainer)), ("/management/audit", bearer(admin))):
            response = service.client.get(path, headers=headers)
            assert (response.status_code, response.get_json()["type"]) == (503, "unreachable")
        assert service.client.get("/series").status_code == 200

        server.start()
        now[0] += 1
        assert service.access.admit(environ, Role.TRAINER).who == "ci"
    finally:
        engine.dispose()
        server.stop()
