"""The frame of a service whose state is all in Postgres: access control, rate limits, health, errors, start, end."""

import argparse
from collections.abc import Callable, Sequence
from multiprocessing.util import Finalize
from typing import Any, Literal

import sqlalchemy as sa
from flask import Response, request
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from core.config.settings import Settings, load_settings
from core.db.engine import connect, fetch_scalar
from core.error_translation import translate
from core.errors import ConfigurationError, ContenderError
from core.jobs.runner import exit_code
from core.logs import configure_logs, get_log
from web import problems, rate_limits, roles
from web.app import SERVICE, add_liveness, create_app
from web.auth import AccessControl
from web.problems import Kind, problem_response
from web.rate_limits import RateLimits
from web.server import serve

ACCESS = "access"
UNREACHABLE = problem_response("Postgres does not answer (`unreachable`) or has not been migrated (`not_migrated`).")
TRAINER_RESPONSES: dict[str | int, Any] = {**roles.RESPONSES, **rate_limits.RESPONSES, "503": UNREACHABLE}
"""The responses of a route for trainers, besides its own."""
_NOT_MIGRATED = Kind(503, "not_migrated", "The database has no tables for this yet")

_HOME_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Contender: the {name} service</title>
<link rel="icon" href="data:,">
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2.5rem auto; padding: 0 1.25rem">
<h1>Contender: the {name} service</h1>
<p>{about}</p>
<p><a href="swagger">Every endpoint, to read and to try</a>, and the same as <a href="openapi.json">OpenAPI</a>.</p>
</body>
</html>
"""


class ServiceHealth(BaseModel):
    """The service and its database answer."""

    status: Literal["ok"]
    database: Literal["reachable"]


def create_service(
    name: str,
    settings: Settings,
    host: str,
    *,
    about: str,
    state: str,
    add_routes: Callable[[OpenAPI, sa.Engine], None],
) -> OpenAPI:
    """The app of one worker of a service.

    Args:
        name: the package whose module `api` has the routes.
        settings: the addresses.
        host: the interface on which the service listens.
        about: what it does, in a sentence.
        state: where its state is, in a sentence.
        add_routes: adds the service's own routes.
    """
    engine = connect(settings.require_database_url(), schema=settings.schema_name)
    app = create_app(
        f"{name}.api",
        title=f"Contender: {name}",
        description=f"{about} {state}",
        version="1.0.0",
        home_page=_HOME_PAGE.format(name=name, about=about),
        security_schemes=roles.SECURITY_SCHEMES,
    )
    add_routes(app, engine)  # first, for the API document shows routes in this order
    _add_access_and_health(app, engine, settings, host)
    return app


def _add_access_and_health(app: OpenAPI, engine: sa.Engine, settings: Settings, host: str) -> None:
    access = AccessControl(engine, host)
    roles.install(app, access)
    RateLimits(app, settings.rate_limit, access, settings.rate_limit_storage)
    app.extensions[ACCESS] = access

    @app.get(
        "/health",
        tags=[SERVICE],
        summary="Whether it can be used",
        responses={"200": ServiceHealth, "503": UNREACHABLE},
    )
    def health() -> dict[str, str]:
        fetch_scalar(engine, sa.select(sa.literal(1)))
        return {"status": "ok", "database": "reachable"}

    add_liveness(app)

    def database_error(error: sa.exc.DBAPIError) -> Response:
        known = translate(error)
        if isinstance(known, ConfigurationError):
            return not_migrated(known)
        return problems.respond(*problems.describe(known or error, problems.KINDS, request.path))

    def not_migrated(error: ConfigurationError) -> Response:
        return problems.respond(_NOT_MIGRATED, str(error))

    app.register_error_handler(sa.exc.DBAPIError, database_error)
    app.register_error_handler(ConfigurationError, not_migrated)


def start_audit_log(app: OpenAPI) -> OpenAPI:
    """Start writing the audit log of a worker process, until it ends; return the app."""
    access: AccessControl = app.extensions[ACCESS]
    access.start()
    # Granian has no hook for a worker's end; multiprocessing calls this after the last request was answered.
    Finalize(None, access.stop, exitpriority=100)
    return app


def run(name: str, address: Callable[[Settings], tuple[str, int]], about: str, argv: Sequence[str] | None) -> int:
    """The command `python -m NAME.api`: serve `NAME.worker:make` until SIGTERM. Returns the exit code."""
    argparse.ArgumentParser(prog=f"python -m {name}.api", description=about).parse_args(argv)
    configure_logs()  # the settings name the format; errors in them are logged as well
    log = get_log(name)
    try:
        settings = load_settings()
        configure_logs(settings.log_format)
        settings.require_database_url()
        host, port = address(settings)
        serve(f"{name}.worker:make", host=host, port=port, workers=1, variable=f"CONTENDER_{name.upper()}")
    except ContenderError as error:
        log.error(error.problem, remedy=error.remedy)
        return exit_code(error)
    return 0
