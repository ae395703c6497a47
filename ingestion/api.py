"""The ingestion service: thin routes over `ingestion.stream.cursor`. `python -m ingestion.api` serves it until
SIGTERM.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flask import Response, jsonify, request
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field
from werkzeug.exceptions import MethodNotAllowed

from core.auth.tokens import Role
from core.config.settings import Settings
from core.config.task_files import pushed_names
from ingestion.stream.cursor import DEFAULT, NothingAvailable, Stream, acknowledging_task
from web import roles
from web.problems import problem_response
from web.service import TRAINER_RESPONSES, UNREACHABLE, create_service, run

_STREAM = Tag(name="stream", description="One observation at a time.")
_ABOUT = "Hands out one observation at a time, each to one client only."
_UNKNOWN = problem_response("There is no such series (`not_found`).")
_UNKNOWN_TASK = problem_response("There is no such series, or no such task to which rows are pushed (`not_found`).")
_EMPTY: dict[str, Any] = {
    "description": "There is nothing to hand out. While leases are open, Retry-After says when one may run out.",
    "headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}},
}


def _optional(schema: dict[str, Any]) -> None:
    """Shows what may be left out as such, and not as something that may be null."""
    schema.update(schema.pop("anyOf")[0])
    del schema["default"]


class SeriesQuery(BaseModel):
    """Which series."""

    series: str = Field(
        default=DEFAULT,
        pattern=r"^[A-Za-z0-9._^=-]{1,100}$",
        description="`airline`, `phishing`, or a series of the observation store, such as `SPY`.",
    )


class NextQuery(SeriesQuery):
    """Which observation, and on what terms."""

    lease: int | None = Field(
        default=None,
        ge=1,
        le=3600,
        description="Seconds in which the `observation_id` must be learned as an `id`, or it is handed out again.",
        json_schema_extra=_optional,
    )
    in_order: bool = Field(
        default=False,
        description="Whether to hand out nothing while an observation is leased, so that none is learned before an "
        "earlier one: 204 with `Retry-After` then.",
    )
    task: str | None = Field(
        default=None,
        pattern=r"^[a-z][a-z0-9-]{0,99}$",
        description="With `lease`: the task that learns it. Without it `phishing` for that series, `live` for others.",
        json_schema_extra=_optional,
    )


class ObservationSchema(BaseModel):
    """One observation of a series."""

    observation_id: int = Field(description="1, 2, 3, … in each series.", examples=[1])
    input: str | dict[str, float] = Field(description="Its month or date, or its features.", examples=["1949-01"])
    target: int | float = Field(description="What came true; of `phishing` 1 or 0.", examples=[112])
    remaining: int = Field(description="How many more can be handed out now.", examples=[143])


class StreamStatus(BaseModel):
    """How far a series has been handed out."""

    current_index: int = Field(description="How many were handed out since the last reset.")
    total_observations: int
    remaining: int = Field(description="What was never handed out, and what came back because its lease ran out.")
    completed: bool = Field(description="Nothing remains and no lease is open.")


class Restarted(StreamStatus):
    """The series begins again."""

    message: str


def create_app(settings: Settings) -> OpenAPI:
    """The app of one worker."""
    return create_service(
        "ingestion",
        settings,
        settings.ingestion_host,
        about=_ABOUT,
        state="What it has handed out is in Postgres: replicas share it, and it outlives them.",
        add_routes=lambda app, engine: _add_stream(app, Stream(engine), settings.tasks),
    )


def _add_stream(app: OpenAPI, stream: Stream, tasks: Path) -> None:
    @app.get(
        "/next",
        tags=[_STREAM],
        summary="The next observation",
        security=roles.SECURITY,
        responses={**TRAINER_RESPONSES, "200": ObservationSchema, "204": _EMPTY, "404": _UNKNOWN_TASK},
    )
    @roles.require(Role.TRAINER)
    def take(query: NextQuery) -> Response:
        if request.method == "HEAD":  # Flask would answer it by GET, and drop the observation
            raise MethodNotAllowed(["GET", "OPTIONS"])
        task = query.task
        if task is not None or query.lease is not None:
            task = acknowledging_task(query.series, task, pushed_names(tasks))
        result = stream.next(query.series, lease_seconds=query.lease, task=task, in_order=query.in_order)
        if isinstance(result, NothingAvailable):
            response = Response(status=204)
            if result.wait_seconds is not None:
                response.headers["Retry-After"] = str(result.wait_seconds)
        else:
            response = jsonify(asdict(result))
        # A cache that answers twice would hand one observation to two clients.
        response.headers["Cache-Control"] = "no-store"
        return response

    @app.post(
        "/reset",
        tags=[_STREAM],
        summary="Begin again",
        security=roles.SECURITY,
        responses={**TRAINER_RESPONSES, "200": Restarted, "404": _UNKNOWN},
    )
    @roles.require(Role.TRAINER)
    def reset(query: SeriesQuery) -> dict[str, Any]:
        return {"message": "The stream begins again.", **asdict(stream.reset(query.series))}

    @app.get(
        "/status",
        tags=[_STREAM],
        summary="How far it is",
        responses={"200": StreamStatus, "404": _UNKNOWN, "503": UNREACHABLE},
    )
    def status(query: SeriesQuery) -> dict[str, Any]:
        return asdict(stream.status(query.series))


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM and returns the exit code."""
    about = (
        f"{_ABOUT} It takes no options: CONTENDER_DATABASE_URL is needed unless `contender up` runs, "
        "CONTENDER_INGESTION_HOST and CONTENDER_INGESTION_PORT say where it listens."
    )
    return run("ingestion", lambda settings: (settings.ingestion_host, settings.ingestion_port), about, argv)


if __name__ == "__main__":
    sys.exit(main())
