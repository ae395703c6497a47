"""A small service with every kind of route: open, for trainers, for administrators; here or under the real server."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from pydantic import BaseModel

from core.auth import tokens
from core.auth.token_cache import TokenCache
from core.auth.tokens import Role
from core.config.settings import load_settings
from core.db.engine import connect
from web import app as web
from web import roles
from web.app import add_liveness
from web.auth import AccessControl
from web.rate_limits import RateLimits
from web.roles import principal, require
from web.server import restore_sigterm

WHO = "test"


class Row(BaseModel):
    """A body."""

    target: float


@dataclass
class Guarded:
    """The service in this process."""

    app: Flask
    access: AccessControl
    limits: RateLimits

    @property
    def client(self) -> FlaskClient:
        """Asks it."""
        return self.app.test_client()


def token(engine: sa.Engine, name: str, role: Role = Role.TRAINER, lifetime: timedelta | None = None) -> str:
    """A token's secret."""
    return tokens.create(engine, name=name, role=role, lifetime=lifetime, who=WHO)


def bearer(secret: str) -> dict[str, str]:
    """The header that carries it."""
    return {"Authorization": f"Bearer {secret}"}


def guarded(
    engine: sa.Engine,
    *,
    host: str = "127.0.0.1",
    rate: str = "1000/hour",
    fresh_seconds: float = 0.0,
    storage: str = "",
) -> Guarded:
    """A service that asks the database anew for every request, unless told otherwise."""
    app = web.create_app(
        "guarded", title="", description="", version="1", home_page="", security_schemes=roles.SECURITY_SCHEMES
    )
    access = AccessControl(engine, host, keyring=TokenCache(engine, fresh_seconds=fresh_seconds))
    roles.install(app, access)
    limits = RateLimits(app, rate, access, storage)
    add_liveness(app)

    @app.get("/series")
    def series() -> dict[str, str]:
        return {}

    @app.post("/predict")
    def predict() -> dict[str, str]:
        return {}

    @app.post("/train", security=roles.SECURITY, responses=roles.RESPONSES)
    @require(Role.TRAINER)
    def train(body: Row) -> dict[str, str | float]:
        return {"who": principal().who, "target": body.target}

    @app.get("/next", security=roles.SECURITY, responses=roles.RESPONSES)
    @require(Role.TRAINER)
    def following() -> dict[str, str]:
        return {"who": principal().who}

    @app.get("/management/audit", security=roles.SECURITY, responses=roles.RESPONSES)
    @require(Role.ADMIN)
    def audit() -> dict[str, str]:
        return {"who": principal().who}

    @app.get("/management/forgotten")
    def forgotten() -> dict[str, str]:
        return {}

    return Guarded(app, access, limits)


def make() -> Flask:
    """The app of a worker, for the real server."""
    restore_sigterm()
    settings = load_settings()
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    service = guarded(engine, host=settings.api_host, rate=settings.rate_limit, fresh_seconds=0.5)
    service.access.start()
    return service.app
