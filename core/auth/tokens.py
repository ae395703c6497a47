"""Bearer tokens: made, listed, revoked. A secret is shown once; what is stored is its SHA-256."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from core.auth import audit
from core.db.access_tables import tokens
from core.db.engine import fetch_all, fetch_one, fetch_scalar, transaction
from core.errors import ConfigurationError, NotFoundError

# How every secret begins, so that scanners find one that was committed by mistake.
PREFIX = "ct_"
_SECRET_BYTES = 32
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
_LARGEST_ID = 2**63 - 1


class Role(StrEnum):
    """What a token allows: `trainer` to train and to give feedback, `admin` that and everything under management."""

    TRAINER = "trainer"
    ADMIN = "admin"

    def suffices_for(self, needed: "Role") -> bool:
        """Whether a token of this role may do what needs `needed`.

        >>> [Role.ADMIN.suffices_for(Role.TRAINER), Role.TRAINER.suffices_for(Role.ADMIN)]
        [True, False]
        """
        return self is Role.ADMIN or self is needed


@dataclass(frozen=True)
class Token:
    """A token as it may be shown: all but its secret. `state` is live, expired or revoked, by the database's clock."""

    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    state: str


def digest(secret: str) -> bytes:
    """The SHA-256 of a secret, by which it is stored and found."""
    # 32 random bytes cannot be guessed, so neither a salt nor a slow hash is needed.
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def create(engine: sa.Engine, *, name: str, role: Role, lifetime: timedelta | None, who: str) -> str:
    """Make a token and return its secret, which is not stored and cannot be shown again.

    Args:
        engine: the database.
        name: unique among live tokens.
        role: what the token allows.
        lifetime: None: until it is revoked.
        who: the person, for the audit log.

    Raises:
        ConfigurationError: the name is taken, or not a valid one.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name[:80]!r} cannot name a token.",
            "Begin with a letter; go on with at most 63 letters, digits, dots, hyphens and underscores.",
        )
    secret = new_secret()
    with transaction(engine) as connection:
        _lock(connection)
        if connection.execute(sa.select(tokens.c.id).where(tokens.c.name == name, _is_live())).first():
            raise ConfigurationError(
                f"A live token is named {name!r} already.", "Choose another name, or revoke that one first."
            )
        _insert(connection, name, role, secret, lifetime, who)
    return secret


def new_secret() -> str:
    """A random secret of 32 bytes, in URL-safe base64."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def adopt(engine: sa.Engine, *, name: str, role: Role, secret: str, who: str) -> bool:
    """Store a token whose secret was made elsewhere; a live token of the same name is revoked.

    Returns whether anything changed. Raises ConfigurationError for a secret that was revoked before or is too short.
    """
    if len(secret) < _SECRET_BYTES:
        raise ConfigurationError(
            f"The secret of the token {name!r} has fewer than {_SECRET_BYTES} characters.",
            "Let `contender secrets` make it.",
        )
    with transaction(engine) as connection:
        _lock(connection)
        known = connection.execute(_visible().where(tokens.c.secret_hash == digest(secret).hex())).one_or_none()
        if known is not None and (known.state, known.name, known.role) == ("live", name, role.value):
            return False
        if known is not None:
            raise ConfigurationError(
                f"The secret of the token {name!r} was that of {known.name!r} (role {known.role}, {known.state}).",
                "Make another: move the file that `contender secrets` keeps out of the way, and call it again.",
            )
        _revoke(connection, tokens.c.name == name, who)
        _insert(connection, name, role, secret, None, who)
    return True


def list_tokens(engine: sa.Engine) -> list[Token]:
    """Every token ever made, oldest first."""
    return [_token(row) for row in fetch_all(engine, _visible().order_by(tokens.c.id))]


def revoke(engine: sa.Engine, name_or_id: str, *, who: str) -> list[Token]:
    """Revoke the token with this id or name, and return those that were revoked.

    Services refuse them within `core.auth.token_cache.FRESH_SECONDS`. Raises NotFoundError when there is none.
    """
    known = tokens.c.name == name_or_id
    if name_or_id.isascii() and name_or_id.isdigit() and int(name_or_id) <= _LARGEST_ID:
        known = tokens.c.id == int(name_or_id)
    with transaction(engine) as connection:
        revoked = _revoke(connection, known, who)
        if not revoked:
            raise NotFoundError(
                f"No token that could be revoked has the name or id {name_or_id[:80]!r}.", "See `contender token list`."
            )
    return revoked


def _lock(connection: sa.Connection) -> None:
    # Two that make a token of one name at once must see each other; readers are not blocked.
    connection.execute(sa.text("LOCK TABLE tokens IN SHARE ROW EXCLUSIVE MODE"))


def _insert(
    connection: sa.Connection, name: str, role: Role, secret: str, lifetime: timedelta | None, who: str
) -> None:
    made = connection.execute(
        sa.insert(tokens)
        .values(
            name=name,
            role=role.value,
            secret_hash=digest(secret).hex(),
            expires_at=None if lifetime is None else sa.func.now() + lifetime,
        )
        .returning(tokens.c.id, tokens.c.expires_at)
    ).one()
    expires = made.expires_at.isoformat() if made.expires_at else None
    detail = {"id": made.id, "name": name, "role": role.value, "expires_at": expires}
    audit.record(connection, who=who, action="token create", outcome="done", detail=detail)


def _revoke(connection: sa.Connection, which: sa.ColumnElement[bool], who: str) -> list[Token]:
    ended = connection.execute(
        sa.update(tokens)
        .where(which, tokens.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now())
        .returning(tokens.c.id)
    ).scalars()
    ended_tokens = _visible().where(tokens.c.id.in_(list(ended))).order_by(tokens.c.id)
    revoked = [_token(row) for row in connection.execute(ended_tokens)]
    for token in revoked:
        detail = {"id": token.id, "name": token.name, "role": token.role.value}
        audit.record(connection, who=who, action="token revoke", outcome="done", detail=detail)
    return revoked


def find_live(engine: sa.Engine, secret: str) -> Token | None:
    """The token with this secret, if it is accepted now. Services use `core.auth.token_cache.TokenCache` instead."""
    row = fetch_one(engine, _visible().where(tokens.c.secret_hash == digest(secret).hex(), _is_live()))
    return _token(row) if row is not None else None


def any_live(engine: sa.Engine) -> bool:
    """Whether there is a token that is accepted now."""
    exists: bool = fetch_scalar(engine, sa.select(sa.exists().where(_is_live())))
    return exists


def _is_live() -> sa.ColumnElement[bool]:
    is_current = sa.or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > sa.func.now())
    return sa.and_(tokens.c.revoked_at.is_(None), is_current)


def _visible() -> sa.Select[tuple[object, ...]]:
    state = sa.case((tokens.c.revoked_at.is_not(None), "revoked"), (_is_live(), "live"), else_="expired")
    # Left out here, so that no listing can show it.
    columns = (column for column in tokens.c if column is not tokens.c.secret_hash)
    return sa.select(*columns, state.label("state"))


def _token(row: sa.Row[tuple[object, ...]]) -> Token:
    columns = row._mapping
    return Token(**{**columns, "role": Role(columns["role"])})
