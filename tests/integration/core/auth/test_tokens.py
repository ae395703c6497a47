"""Tokens: shown once, stored as hashes, listed, revoked, and all of it in the audit log."""

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from core.auth import audit, tokens
from core.auth.tokens import Role
from core.db import access_tables
from core.errors import ConfigurationError, ContenderError, NotFoundError
from tests.support.serving.guarded import WHO, token


def test_what_is_stored_of_a_token_is_a_hash(engine: sa.Engine) -> None:
    secret = token(engine, "ci")

    with engine.connect() as connection:
        row = connection.execute(sa.select(access_tables.tokens)).one()
    assert re.fullmatch(r"ct_[A-Za-z0-9_-]{43}", secret)
    assert row.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(row)
    assert secret not in repr(audit.newest(engine))


def test_every_token_is_listed_with_its_state(engine: sa.Engine) -> None:
    token(engine, "ci", lifetime=timedelta(days=90))
    token(engine, "old", lifetime=timedelta(seconds=-1))
    token(engine, "anna", Role.ADMIN)
    [ended] = tokens.revoke(engine, "anna", who=WHO)

    listed = tokens.list_tokens(engine)

    assert [(one.name, one.role, one.state) for one in listed] == [
        ("ci", "trainer", "live"),
        ("old", "trainer", "expired"),
        ("anna", "admin", "revoked"),
    ]
    assert listed[0].expires_at == listed[0].created_at + timedelta(days=90)
    assert ended == listed[2]


def test_a_token_is_revoked_by_name_or_id_and_once(engine: sa.Engine) -> None:
    token(engine, "ci")
    token(engine, "lab")
    [ci, lab] = tokens.list_tokens(engine)

    assert [one.name for one in tokens.revoke(engine, "ci", who=WHO)] == ["ci"]
    assert [one.name for one in tokens.revoke(engine, str(lab.id), who=WHO)] == ["lab"]
    for unknown in ("ci", str(ci.id), "nobody", "9" * 40, "", "٣"):
        with pytest.raises(NotFoundError, match="contender token list"):
            tokens.revoke(engine, unknown, who=WHO)


def test_a_name_is_borne_by_one_live_token(engine: sa.Engine) -> None:
    first = token(engine, "ci")
    with pytest.raises(ConfigurationError, match="'ci' already"):
        token(engine, "ci", Role.ADMIN)

    tokens.revoke(engine, "ci", who=WHO)
    second = token(engine, "ci")

    assert tokens.find_live(engine, first) is None
    found = tokens.find_live(engine, second)
    assert found is not None
    assert found.name == "ci"


def test_of_many_that_make_the_same_name_at_once_one_succeeds(engine: sa.Engine) -> None:
    def make(_: int) -> bool:
        try:
            return bool(token(engine, "ci"))
        except ContenderError:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(make, range(6))) == 1


@pytest.mark.parametrize("name", ["", "7", "-x", "a b", "a" * 65, "(this machine)", "é", "a\x00", "ci\n"])
def test_what_could_be_taken_for_something_else_names_no_token(engine: sa.Engine, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a token"):
        token(engine, name)


def test_who_made_and_who_ended_a_token_is_in_the_audit_log(engine: sa.Engine) -> None:
    tokens.create(engine, name="ci", role=Role.TRAINER, lifetime=None, who="anna")
    tokens.revoke(engine, "ci", who="otto")

    ended, made = audit.newest(engine)

    assert (made.who, made.action, made.outcome) == ("anna", "token create", "done")
    assert made.detail == {"id": made.detail["id"], "name": "ci", "role": "trainer", "expires_at": None}
    assert (ended.who, ended.action, ended.detail["name"]) == ("otto", "token revoke", "ci")


def test_the_audit_log_is_written_with_what_it_tells_of_and_never_changed(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        audit.record(connection, who="anna", action="promote", outcome="done", detail={})
        connection.rollback()
    assert audit.newest(engine) == []

    with engine.begin() as connection:
        for number in range(5):
            audit.record(connection, who="a\x00", action="x", outcome="done", detail={"n": number, "s": "\ud800\x00"})
    for statement in ("UPDATE audit SET who = 'otto'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(sa.exc.DBAPIError), engine.begin() as connection:
            connection.execute(sa.text(statement))

    first = audit.newest(engine, limit=2)
    rest = audit.newest(engine, before=first[-1].id)
    assert [entry.detail["n"] for entry in [*first, *rest]] == [4, 3, 2, 1, 0]
    assert (first[0].who, first[0].detail["s"]) == ("a\ufffd", "?\ufffd")


def test_a_secret_that_was_made_elsewhere_is_taken_once_and_replaced_by_the_next(engine: sa.Engine) -> None:
    first, second = tokens.new_secret(), tokens.new_secret()

    def adopt(secret: str, name: str = "installation") -> bool:
        return tokens.adopt(engine, name=name, role=Role.ADMIN, secret=secret, who=WHO)

    assert [adopt(first), adopt(first), adopt(second), adopt(second)] == [True, False, True, False]
    assert tokens.find_live(engine, first) is None
    found = tokens.find_live(engine, second)
    assert found is not None
    assert (found.name, found.role) == ("installation", Role.ADMIN)
    with pytest.raises(ConfigurationError, match=r"was that of 'installation' \(role admin, revoked\)"):
        adopt(first)
    with pytest.raises(ConfigurationError, match="was that of 'installation'"):
        adopt(second, name="another")
    with pytest.raises(ConfigurationError, match="fewer than 32"):
        adopt("short")
    assert [entry.action for entry in audit.newest(engine)] == ["token create", "token revoke", "token create"]
