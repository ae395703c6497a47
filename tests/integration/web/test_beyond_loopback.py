"""A service that other machines reach starts with tokens only, and asks for them: under the real server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
import sqlalchemy as sa

from contender.servers.processes import free_port, spawn, wait_for_http
from core.auth import audit, tokens
from core.auth.tokens import Role
from core.config.settings import Settings, child_environment
from tests.support.serving.guarded import WHO, bearer, token
from tests.support.waiting import wait_for

pytestmark = pytest.mark.slow

SERVE = (
    "from core.config.settings import load_settings; from web.server import serve; s = load_settings();"
    "serve('tests.support.serving.guarded:make', host=s.api_host, port=s.api_port, workers=1, variable='CONTENDER_API')"
)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    process = spawn("guarded", ["-c", SERVE], settings)
    url = f"http://127.0.0.1:{settings.api_port}"
    try:
        wait_for_http(f"{url}/health/live", process, 60)
        yield url
    finally:
        process.stop()


@pytest.fixture
def outside(settings: Settings) -> Settings:
    return settings.model_copy(update={"api_host": "0.0.0.0", "api_port": free_port(), "rate_limit": "20/hour"})


def start(settings: Settings) -> str:
    """What a start that is refused says."""
    ended = subprocess.run(
        [sys.executable, "-c", SERVE], env=child_environment(settings), capture_output=True, text=True, timeout=200
    )  # fmt: skip
    assert ended.returncode != 0
    return ended.stderr


def test_without_an_accepted_token_it_does_not_start(engine: sa.Engine, outside: Settings) -> None:
    assert "contender token create" in start(outside)

    token(engine, "ci")
    tokens.revoke(engine, "ci", who=WHO)
    assert "contender token create" in start(outside)


def test_when_the_tokens_cannot_be_read_it_does_not_start(outside: Settings) -> None:
    unmigrated = outside.model_copy(update={"schema_name": "nowhere"})
    assert "contender migrate" in start(unmigrated)

    unreachable = outside.model_copy(update={"database_url": "postgresql+psycopg2://x@127.0.0.1:9/x"})
    assert "Postgres did not answer" in start(unreachable)


def test_with_a_token_it_serves_and_asks_for_it(engine: sa.Engine, outside: Settings) -> None:
    trainer = token(engine, "ci")
    row = {"target": 1.0}

    with served(outside) as url, requests.Session() as session:
        assert session.get(f"{url}/series").status_code == 200
        missing = session.post(f"{url}/train", json=row)
        assert (missing.status_code, missing.headers["WWW-Authenticate"]) == (401, 'Bearer realm="contender"')
        assert session.post(f"{url}/train", json=row, headers=bearer("ct_wrong")).status_code == 401
        assert session.post(f"{url}/train", json=row, headers=bearer(trainer)).json()["who"] == "ci"
        assert session.get(f"{url}/management/audit", headers=bearer(trainer)).status_code == 403
        limited = [session.get(f"{url}/next", headers=bearer(trainer)) for _ in range(20)][-1]
        assert (limited.status_code, limited.headers["Retry-After"].isdigit()) == (429, True)

        anna = token(engine, "anna", Role.ADMIN)
        wait_for(lambda: session.get(f"{url}/management/audit", headers=bearer(anna)).status_code == 200)
        tokens.revoke(engine, "anna", who=WHO)
        wait_for(lambda: session.get(f"{url}/management/audit", headers=bearer(anna)).status_code == 401)
        wait_for(lambda: any(entry.detail.get("reason") == "unknown" for entry in audit.newest(engine)))

    refused = [entry for entry in audit.newest(engine) if entry.detail.get("reason") == "unknown"]
    assert {entry.detail["address"] for entry in refused} == {"127.0.0.1"}


def test_on_this_machine_only_it_starts_without_a_token_and_trains(settings: Settings) -> None:
    local = settings.model_copy(update={"api_port": free_port()})

    with served(local) as url:
        assert requests.post(f"{url}/train", json={"target": 1}, timeout=60).json()["who"] == "(this machine)"
        assert requests.get(f"{url}/management/audit", timeout=60).status_code == 401
