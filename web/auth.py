"""Access control: a bearer token of the needed role; training from the same machine may need none."""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from core.auth.access_counter import AccessCounter, AccessEvent
from core.auth.token_cache import CachedToken, TokenCache
from core.auth.tokens import Role
from core.errors import ConfigurationError, UnreachableError
from web.problems import Kind, RefusedError, quoted

UNAUTHENTICATED = Kind(401, "unauthenticated", "A token is needed")
FORBIDDEN = Kind(403, "forbidden", "The token's role is not enough")
LOCAL, UNKNOWN = "(this machine)", "(unknown)"  # no token can have such a name
_ACTIONS = {Role.TRAINER: "training", Role.ADMIN: "management"}
_REASONS = {
    "missing": "This needs a bearer token of the role {role}, and none came with it.",
    "unknown": "The bearer token is not known.",
    "expired": "The bearer token has expired.",
    "revoked": "The bearer token has been revoked.",
}


@dataclass(frozen=True)
class Principal:
    """The sender of a request. `who`: the name of the token; LOCAL where none is needed."""

    who: str
    role: Role
    token_id: int | None
    address: str

    @property
    def identity(self) -> str:
        """What the rate is limited by: the token, or else the address."""
        return f"token:{self.token_id}" if self.token_id is not None else f"address:{self.address}"


class AccessControl:
    """Admits or refuses the requests of one worker. `host`: the interface on which the service listens.

    Training needs no token as long as no trainer token was ever made, the service listens on loopback, and no web page
    of another site made the request. A token that is sent must be valid in any case.
    """

    def __init__(self, engine: sa.Engine, host: str, *, keyring: TokenCache | None = None) -> None:
        self._tokens = keyring or TokenCache(engine)
        self._is_local = is_loopback(host)
        self.counter = AccessCounter(engine)

    def start(self) -> None:
        """Start writing the audit log."""
        self.counter.start()

    def stop(self) -> None:
        """Write the remaining counts."""
        self.counter.stop()

    def admit(self, environ: Mapping[str, Any], needed: Role) -> Principal:
        """The sender of a request, who has the needed role. Every decision is counted for the audit log.

        Raises:
            RefusedError: no valid token (401), or not of this role (403).
            UnreachableError: the database with the tokens does not answer.
        """
        secret = _bearer(environ)
        key = self._tokens.find(secret or "")  # also a missing one: all refusals take the same time
        address = _address(environ)
        if secret is None and needed is Role.TRAINER and self._is_open(environ):
            self._count(environ, LOCAL, needed, "allowed", "", address)
            return Principal(LOCAL, Role.TRAINER, None, address)
        reason = "missing" if secret is None else self._fault(key)
        if key is None or reason:
            self._count(environ, key.name if key else UNKNOWN, needed, "refused", reason, address)
            error = "" if secret is None else ', error="invalid_token"'
            raise RefusedError(
                UNAUTHENTICATED,
                _REASONS[reason].format(role=needed.value),
                "Send `Authorization: Bearer …` with one that `contender token create` has made.",
                headers={"WWW-Authenticate": f'Bearer realm="contender"{error}'},
            )
        if not key.role.suffices_for(needed):
            self._count(environ, key.name, needed, "refused", "role", address)
            raise RefusedError(
                FORBIDDEN,
                f"This needs the role {needed.value}; the token {key.name!r} has the role {key.role.value}.",
                headers={"WWW-Authenticate": 'Bearer realm="contender", error="insufficient_scope"'},
            )
        self._count(environ, key.name, needed, "allowed", "", address)
        return Principal(key.name, key.role, key.id, address)

    def identity(self, environ: Mapping[str, Any]) -> str:
        """What the rate of a request without a role is limited by: a valid token, or else the address."""
        secret = _bearer(environ)
        if secret is not None:
            try:
                key = self._tokens.find(secret)
            except UnreachableError:
                key = None
            if key is not None and not self._fault(key):
                return f"token:{key.id}"
        return f"address:{_address(environ)}"

    def _is_open(self, environ: Mapping[str, Any]) -> bool:
        return self._is_local and _comes_from_here(environ) and not self._tokens.trainer_exists()

    def _fault(self, key: CachedToken | None) -> str:
        if key is None:
            return "unknown"
        if key.is_revoked:
            return "revoked"
        return "expired" if self._tokens.has_expired(key) else ""

    def _count(
        self, environ: Mapping[str, Any], who: str, needed: Role, outcome: str, reason: str, address: str
    ) -> None:
        path = quoted(environ.get("PATH_INFO", ""))
        self.counter.count(AccessEvent(who, _ACTIONS[needed], outcome, reason, address), path)


def is_loopback(host: str) -> bool:
    """Whether an interface can be reached from this machine only.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def require_tokens(host: str, variable: str, exist: Callable[[], bool]) -> None:
    """Raises ConfigurationError for an interface that others can reach while no token is accepted by the service."""
    if not is_loopback(host) and not exist():
        raise ConfigurationError(
            f"The service is to listen on {host}, where other machines reach it, and there are no tokens to check.",
            f"Make one with `contender token create --role admin --name NAME`, or set {variable}=127.0.0.1 (the "
            "default).",
        )


def _bearer(environ: Mapping[str, Any]) -> str | None:
    """The bearer token that was sent; None without any. Another scheme counts as a wrong token."""
    header: str = environ.get("HTTP_AUTHORIZATION", "").strip()
    if not header:
        return None
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _comes_from_here(environ: Mapping[str, Any]) -> bool:
    """Whether no web page of another site, open in this machine's browser, made the request."""
    # Host: a page could point a name of its own at 127.0.0.1 (DNS rebinding); Sec-Fetch-Site: one that posts across
    # sites.
    return _names_loopback(environ.get("HTTP_HOST", "localhost")) and (
        environ.get("HTTP_SEC_FETCH_SITE") != "cross-site"
    )


@lru_cache(maxsize=64)
def _names_loopback(authority: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{authority}").hostname or "")
    except ValueError:
        return False


def _address(environ: Mapping[str, Any]) -> str:
    return _sender_address(environ.get("REMOTE_ADDR", ""))


@lru_cache(maxsize=1024)
def _sender_address(address: str) -> str:
    """The address by which a sender is counted: of IPv6 the /64 network, for one sender can use all of it."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if known.version == 4:
        return str(known)
    mapped = known.ipv4_mapped
    return str(mapped or ipaddress.ip_network((known, 64), strict=False))
