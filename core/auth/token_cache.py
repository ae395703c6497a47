"""The tokens of the database, cached for two seconds, so that checking one costs no query."""

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core.auth.tokens import Role, digest
from core.db.access_tables import tokens
from core.error_translation import translate
from core.errors import ContenderError

FRESH_SECONDS = 2.0
"""How old the cached tokens may be: within this time a revoked token is refused, and a new one accepted."""
_RETRY_SECONDS = 1.0
_KEPT_AFTER_END = "30 days"  # so long a client reads that its token has ended; then that it is unknown


@dataclass(frozen=True)
class CachedToken:
    """What is needed to check a token. `ends`: when it expires, in seconds of the process's monotonic clock."""

    id: int
    name: str
    role: Role
    hash: bytes
    ends: float
    is_revoked: bool


@dataclass(frozen=True)
class _Snapshot:
    tokens: tuple[CachedToken, ...]
    trainer_exists: bool
    read_at: float


class TokenCache:
    """Every token of the database, at most `fresh_seconds` old.

    Nothing older is used: without the database every call raises an UnreachableError. A token that ended more than 30
    days ago counts as unknown.
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
        self._snapshot: _Snapshot | None = None
        self._failure: tuple[float, ContenderError] | None = None
        self._reading = threading.Lock()

    def find(self, secret: str) -> CachedToken | None:
        """The token with this secret, whatever its state; None when it is unknown."""
        wanted = digest(secret)
        found = None
        # In constant time, and without an early end: the time taken must not depend on the secret.
        for token in self._fresh().tokens:
            if hmac.compare_digest(token.hash, wanted):
                found = token
        return found

    def has_expired(self, token: CachedToken) -> bool:
        """Whether the token's lifetime has ended."""
        return self._monotonic() >= token.ends

    def trainer_exists(self) -> bool:
        """Whether a trainer token was ever made. Also one that has ended counts: expiry must not open the service."""
        return self._fresh().trainer_exists

    def _fresh(self) -> _Snapshot:
        snapshot = self._snapshot
        if snapshot is not None and self._monotonic() - snapshot.read_at < self._fresh_seconds:
            return snapshot
        # One thread reads; those that waited for it find what it read, or its failure.
        with self._reading:
            now = self._monotonic()
            if self._snapshot is not None and now - self._snapshot.read_at < self._fresh_seconds:
                return self._snapshot
            # While the database is away, requests would otherwise queue here for a timeout each.
            if self._failure is not None and now - self._failure[0] < _RETRY_SECONDS:
                raise self._failure[1]
            try:
                self._snapshot = self._read()
            except sa.exc.DBAPIError as error:
                failure = translate(error)
                if failure is None:
                    raise
                self._failure = (self._monotonic(), failure)
                raise failure from error
            return self._snapshot

    def _read(self) -> _Snapshot:
        now = self._monotonic()  # before the query, so that its result never counts as younger than it is
        ended = sa.func.least(tokens.c.revoked_at, tokens.c.expires_at)
        # Seconds left by the database's clock: an expiry must not depend on the clock of this machine.
        left = sa.extract("epoch", tokens.c.expires_at - sa.func.now()).label("left")
        usable = sa.select(tokens, left).where(
            sa.or_(ended.is_(None), ended > sa.func.now() - sa.cast(_KEPT_AFTER_END, sa.Interval))
        )
        trainer = sa.select(sa.exists().where(tokens.c.role == Role.TRAINER.value))
        with self._engine.connect() as connection:
            rows = connection.execute(usable.order_by(tokens.c.id)).all()
            trainer_exists = connection.execute(trainer).scalar_one()
        cached = (
            CachedToken(
                id=row.id,
                name=row.name,
                role=Role(row.role),
                hash=bytes.fromhex(row.secret_hash),
                ends=float("inf") if row.left is None else now + float(row.left),
                is_revoked=row.revoked_at is not None,
            )
            for row in rows
        )
        return _Snapshot(tuple(cached), trainer_exists, now)
