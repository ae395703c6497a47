"""Who may do what: a bearer token of the right role, or, for training on a machine of one's own, being on it."""

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
from web.problems import Kind, RefusedError, shown

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
    """Who is behind a request. `who` is the name of the token; LOCAL where none is needed."""

    who: str
    role: Role
    token_id: int | None
    address: str

    @property
    def identity(self) -> str:
        """What the rate is limited by: the token, or else the address."""
        return f"token:{self.token_id}" if self.token_id is not None else f"address:{self.address}"


class Access:
    """The door of one worker. `host` is the interface on which the service listens.

    Training needs no token as long as none was ever made for it, the service listens to this machine only, and the
    request was not made by a web page from elsewhere. A token that does come must be a good one, there as well.
    """

    def __init__(self, engine: sa.Engine, host: str, *, keyring: TokenCache | None = None) -> None:
        self._keyring = keyring or TokenCache(engine)
        self._is_local = is_loopback(host)
        self.tally = AccessCounter(engine)

    def start(self) -> None:
        """Starts writing the audit log."""
        self.tally.start()

    def stop(self) -> None:
        """Writes what was counted last."""
        self.tally.stop()

    def admit(self, environ: Mapping[str, Any], needed: Role) -> Principal:
        """Who makes this request, who may do what needs the role. Everything is counted for the audit log.

        Raises RefusedError (401, 403), and UnreachableError when it is not known which tokens there are.
        """
        secret = _bearer(environ)
        key = self._keyring.find(secret or "")  # looked up even when it is missing: all refusals cost the same
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
        """What an open request's rate is limited by: its token if a good one came with it, else its address."""
        secret = _bearer(environ)
        if secret is not None:
            try:
                key = self._keyring.find(secret)
            except UnreachableError:
                key = None
            if key is not None and not self._fault(key):
                return f"token:{key.id}"
        return f"address:{_address(environ)}"

    def _is_open(self, environ: Mapping[str, Any]) -> bool:
        return self._is_local and _comes_from_here(environ) and not self._keyring.trainer_exists()

    def _fault(self, key: CachedToken | None) -> str:
        if key is None:
            return "unknown"
        if key.is_revoked:
            return "revoked"
        return "expired" if self._keyring.has_expired(key) else ""

    def _count(
        self, environ: Mapping[str, Any], who: str, needed: Role, outcome: str, reason: str, address: str
    ) -> None:
        path = shown(environ.get("PATH_INFO", ""))
        self.tally.count(AccessEvent(who, _ACTIONS[needed], outcome, reason, address), path)


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
            f"The service is told to listen on {host}, where other machines reach it, and it has no tokens to check.",
            f"Make one with `contender token create --role admin --name NAME`, or set {variable}=127.0.0.1 (the "
            "default).",
        )


def _bearer(environ: Mapping[str, Any]) -> str | None:
    """What was sent as a bearer token; None without any. Another scheme counts as a wrong token."""
    header: str = environ.get("HTTP_AUTHORIZATION", "").strip()
    if not header:
        return None
    scheme, _, secret = header.partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def _comes_from_here(environ: Mapping[str, Any]) -> bool:
    """Whether no foreign web page can be behind it: one in this machine's browser could call a local service, too."""
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
    return _told_apart(environ.get("REMOTE_ADDR", ""))


@lru_cache(maxsize=1024)
def _told_apart(address: str) -> str:
    """An address as senders are told apart by it: of IPv6 the network, whose addresses all belong to one of them."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return UNKNOWN
    if known.version == 4:
        return str(known)
    mapped = known.ipv4_mapped
    return str(mapped or ipaddress.ip_network((known, 64), strict=False))
