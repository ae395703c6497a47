"""The tokens that one process knows: read together, for a moment, so that checking one costs no query."""

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core.auth.tokens import Role, digest
from core.db.access_tables import tokens
from core.error_translation import explained
from core.errors import ContenderError

FRESH_SECONDS = 2.0
"""How old the knowledge may be: so soon is a revoked token refused, and a new one accepted."""
_RETRY_SECONDS = 1.0
_REMEMBERED = "30 days"


@dataclass(frozen=True)
class Key:
    """A token as it is checked. `ends` is when it expires, in seconds of the process's monotonic clock."""

    id: int
    name: str
    role: Role
    hash: bytes
    ends: float
    is_revoked: bool


@dataclass(frozen=True)
class _Known:
    keys: tuple[Key, ...]
    is_trainer_made: bool
    read_at: float


class TokenCache:
    """Every token of the database, at most `fresh_seconds` old.

    Nothing is answered from older knowledge: without the database every question raises an UnreachableError. Tokens
    that ended more than 30 days ago are left out, which tells them no longer apart from those that never were.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._fresh_seconds = fresh_seconds
        self._monotonic = monotonic
        self._known: _Known | None = None
        self._trouble: tuple[float, ContenderError] | None = None
        self._reading = threading.Lock()

    def find(self, secret: str) -> Key | None:
        """The token with this secret, whatever its state. Its hash is held against that of every token, in constant
        time each and all of them always, so that the time taken tells nothing of a secret nor of where it stands.
        """
        asked = digest(secret)
        found = None
        for key in self._fresh().keys:
            if hmac.compare_digest(key.hash, asked):
                found = key
        return found

    def has_expired(self, key: Key) -> bool:
        """Whether the token's time is over."""
        return self._monotonic() >= key.ends

    def is_trainer_made(self) -> bool:
        """Whether a token for training was ever made. One that ends closes no less: time opens no door."""
        return self._fresh().is_trainer_made

    def _fresh(self) -> _Known:
        known = self._known
        if known is not None and self._monotonic() - known.read_at < self._fresh_seconds:
            return known
        with self._reading:
            now = self._monotonic()
            if self._known is not None and now - self._known.read_at < self._fresh_seconds:
                return self._known
            if self._trouble is not None and now - self._trouble[0] < _RETRY_SECONDS:
                raise self._trouble[1]
            try:
                self._known = self._read()
            except sa.exc.DBAPIError as error:
                told = explained(error)
                if told is None:
                    raise
                self._trouble = (self._monotonic(), told)
                raise told from error
            return self._known

    def _read(self) -> _Known:
        now = self._monotonic()  # before the question, so that the answer is taken for older than it is, never younger
        ended = sa.func.least(tokens.c.revoked_at, tokens.c.expires_at)
        left = sa.extract("epoch", tokens.c.expires_at - sa.func.now()).label("left")
        asked = sa.select(tokens, left).where(
            sa.or_(ended.is_(None), ended > sa.func.now() - sa.cast(_REMEMBERED, sa.Interval))
        )
        made = sa.select(sa.exists().where(tokens.c.role == Role.TRAINER.value))
        with self._engine.connect() as connection:
            rows = connection.execute(asked.order_by(tokens.c.id)).all()
            is_trainer_made = connection.execute(made).scalar_one()
        keys = (
            Key(
                id=row.id,
                name=row.name,
                role=Role(row.role),
                hash=bytes.fromhex(row.secret_hash),
                ends=float("inf") if row.left is None else now + float(row.left),
                is_revoked=row.revoked_at is not None,
            )
            for row in rows
        )
        return _Known(tuple(keys), is_trainer_made, now)
