"""`contender token`, and the token that the one-command run makes."""

import stat

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from contender.cli.tokens import app
from contender.local.admin_token import ensure_admin_token
from core.auth import audit, tokens
from core.auth.tokens import Role
from core.config.settings import Settings, child_environment
from tests.support.serving.guarded import WHO, token


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in child_environment(settings).items():
        if name.startswith("CONTENDER_"):
            monkeypatch.setenv(name, value)


def call(*words: str) -> tuple[int, str, str]:
    reported = CliRunner().invoke(app, words)
    return reported.exit_code, reported.stdout, reported.stderr


def test_the_secret_alone_is_on_standard_output(engine: sa.Engine) -> None:
    code, secret, notes = call("create", "--role", "trainer", "--name", "ci", "--days", "90")

    assert code == 0
    found = tokens.find_live(engine, secret.removesuffix("\n"))
    assert found is not None
    assert (found.name, found.role) == ("ci", Role.TRAINER)
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).days == 90
    assert "90 days" in " ".join(notes.split())
    assert audit.newest(engine)[0].who.endswith("(command line)")


def test_a_token_is_listed_and_revoked(engine: sa.Engine) -> None:
    assert "No token" in call("list")[1]
    secret = token(engine, "ci")
    assert "live" in call("list")[1]

    assert call("revoke", "ci")[0] == 0

    listed = call("list")[1]
    assert "revoked" in listed
    assert "live" not in listed
    assert secret[3:10] not in listed
    assert tokens.find_live(engine, secret) is None


def test_what_cannot_be_done_is_explained(engine: sa.Engine) -> None:
    token(engine, "ci")

    for words in (("revoke", "nobody"), ("create", "--role", "admin", "--name", "ci")):
        code, reported, notes = call(*words)
        assert (code, reported) == (42, "")
        assert "Traceback" not in notes
        assert notes
    assert call("create", "--role", "owner", "--name", "x")[0] == 2
    assert call("create", "--role", "admin", "--name", "x", "--days", "0")[0] == 2


def test_the_one_command_run_makes_one_administrator_and_keeps_the_token_private(
    engine: sa.Engine, settings: Settings
) -> None:
    settings.home.mkdir(parents=True)
    path = ensure_admin_token(settings)

    assert path == settings.home / "admin-token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = tokens.find_live(engine, path.read_text().strip())
    assert found is not None
    assert found.role is Role.ADMIN
    assert ensure_admin_token(settings) == path
    assert [one.role for one in tokens.list_tokens(engine)] == [Role.ADMIN]
    assert [one.name for one in settings.home.iterdir()] == ["admin-token"]


def test_a_lost_or_ended_token_of_the_run_is_replaced(engine: sa.Engine, settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    path = ensure_admin_token(settings)
    assert path is not None
    first = path.read_text().strip()
    path.unlink()

    ensure_admin_token(settings)
    second = path.read_text().strip()
    assert tokens.find_live(engine, first) is None
    assert tokens.find_live(engine, second) is not None

    tokens.revoke(engine, "up", who=WHO)
    ensure_admin_token(settings)
    assert tokens.find_live(engine, path.read_text().strip()) is not None


def test_where_an_administrator_has_a_token_none_is_made(engine: sa.Engine, settings: Settings) -> None:
    settings.home.mkdir(parents=True)
    token(engine, "anna", Role.ADMIN)

    assert ensure_admin_token(settings) is None
    assert [one.name for one in tokens.list_tokens(engine)] == ["anna"]
