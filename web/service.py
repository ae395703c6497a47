"""What a service whose state is all in Postgres needs beside its routes: its door, its health, its start and end."""

import argparse
from collections.abc import Callable, Sequence
from multiprocessing.util import Finalize
from typing import Any, Literal

import sqlalchemy as sa
from flask import Response, request
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from core.config.settings import Settings, load_settings
from core.db.engine import reachable
from core.error_translation import translate
from core.errors import ConfigurationError, ContenderError
from core.jobs.runner import exit_code
from core.logs import configure_logs, get_log
from web import problems, rate_limits, roles
from web.app import SERVICE, add_liveness
from web.auth import Access
from web.problems import Kind, documented
from web.rate_limits import Limits
from web.server import serve

ACCESS = "access"
AWAY = documented("Postgres does not answer (`unreachable`) or has not been migrated (`not_migrated`).")
TRAINS: dict[str | int, Any] = {**roles.RESPONSES, **rate_limits.RESPONSES, "503": AWAY}
"""What a route that needs the role `trainer` answers besides its own."""
_NOT_MIGRATED = Kind(503, "not_migrated", "The database has no tables for this yet")

HOME_PAGE = """<!DOCTYPE html>
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


def prepare(app: OpenAPI, engine: sa.Engine, settings: Settings, host: str) -> None:
    """Adds the door and the limits, `/health` and `/health/live`, and says every error of Postgres in words.

    `host` is the interface on which the service listens. `app.extensions["access"]` is the Access, whose audit log is
    not written until `attend` is called.
    """
    access = Access(engine, host)
    roles.install(app, access)
    Limits(app, settings.rate_limit, access, settings.rate_limit_storage)
    app.extensions[ACCESS] = access

    @app.get("/health", tags=[SERVICE], summary="Whether it can be used", responses={"200": ServiceHealth, "503": AWAY})
    def health() -> dict[str, str]:
        with reachable(), engine.connect() as connection:
            connection.execute(sa.select(sa.literal(1)))
        return {"status": "ok", "database": "reachable"}

    add_liveness(app)

    def database_error(error: sa.exc.DBAPIError) -> Response:
        known = translate(error)
        if isinstance(known, ConfigurationError):
            return not_migrated(known)
        return problems.respond(*problems.told(known or error, problems.KINDS, request.path))

    def not_migrated(error: ConfigurationError) -> Response:
        return problems.respond(_NOT_MIGRATED, str(error))

    app.register_error_handler(sa.exc.DBAPIError, database_error)
    app.register_error_handler(ConfigurationError, not_migrated)


def attend(app: OpenAPI) -> OpenAPI:
    """Begins to write the audit log of a worker, until it ends; returns the app."""
    access: Access = app.extensions[ACCESS]
    access.start()
    # The server has no hook for a worker's end; multiprocessing calls this after the last request was answered.
    Finalize(None, access.stop, exitpriority=100)
    return app


def run(name: str, address: Callable[[Settings], tuple[str, int]], about: str, argv: Sequence[str] | None) -> int:
    """`python -m NAME.api`: serves what `NAME.worker:make` makes until SIGTERM. Returns the exit code."""
    argparse.ArgumentParser(prog=f"python -m {name}.api", description=about).parse_args(argv)
    configure_logs()  # until the settings say otherwise: what is wrong with them is told on standard error too
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
