"""The features service: thin routes over `features.lag_buffer`. `python -m features.api` serves it until SIGTERM."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.auth.tokens import Role
from core.config.settings import Settings
from features.lag_buffer import LagBuffers
from web import roles
from web.app import SERVICE
from web.problems import problem_response
from web.service import TRAINER_RESPONSES, UNREACHABLE, create_service, run

_LAGS = Tag(name="lags", description="What came before a value.")
_ABOUT = "Answers each value of a series with the values before it, as features to learn from."

SeriesId = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\u0000-\u001f\u007f-\u009f]+$",
        description="Any text without control characters.",
    ),
]


class SeriesPath(BaseModel):
    """Which series."""

    series_id: SeriesId = Field(json_schema_extra={"example": "airline"})


class Value(BaseModel):
    """The newest value of a series. Other fields are passed over."""

    series_id: SeriesId = Field(json_schema_extra={"example": "airline"})
    value: float = Field(strict=True, allow_inf_nan=False, json_schema_extra={"example": 112})


class RowSchema(BaseModel):
    """A row to learn from: the value, and those before it."""

    features: dict[str, float] = Field(description="`in_1` came just before, then `in_2`, …", examples=[{"in_1": 112}])
    target: float = Field(description="The value that was sent.")
    available_lags: int = Field(description="How many features there are: at most N_LAGS, at first fewer.")


class Series(BaseModel):
    """What is kept of a series."""

    series_id: str
    count: int = Field(description="Values ever added.")
    values: list[float] = Field(description="The newest 1000 of them, newest last.")


class FeaturesInfo(BaseModel):
    """What the service does."""

    name: Literal["features"]
    n_lags: int = Field(description="N_LAGS, as the service was started with.")
    series: int = Field(description="How many series there are.")


def create_app(settings: Settings) -> OpenAPI:
    """The app of one worker."""
    return create_service(
        "features",
        settings,
        settings.features_host,
        about=_ABOUT,
        state="Its lag buffers are in Postgres: replicas share them, and they outlive them.",
        add_routes=lambda app, engine: _add_lags(app, LagBuffers(engine, settings.n_lags)),
    )


def _add_lags(app: OpenAPI, buffers: LagBuffers) -> None:
    @app.post(
        "/add",
        tags=[_LAGS],
        summary="Add a value",
        security=roles.SECURITY,
        responses={
            **TRAINER_RESPONSES,
            "200": RowSchema,
            "400": problem_response("The body is not JSON (`malformed`)."),
            "413": problem_response("The body is larger than the service accepts (`too_large`)."),
            "415": problem_response("The body is not sent as JSON (`unsupported_media_type`)."),
        },
    )
    @roles.require(Role.TRAINER)
    def add(body: Value) -> dict[str, Any]:
        return asdict(buffers.add(body.series_id, body.value))

    @app.get(
        "/series/<path:series_id>",
        tags=[_LAGS],
        summary="What is kept of a series",
        responses={
            "200": Series,
            "404": problem_response("Nothing was ever added to it (`not_found`)."),
            "503": UNREACHABLE,
        },
    )
    def series(path: SeriesPath) -> dict[str, Any]:
        return asdict(buffers.series(path.series_id))

    @app.get("/info", tags=[SERVICE], summary="What it does", responses={"200": FeaturesInfo, "503": UNREACHABLE})
    def info() -> dict[str, Any]:
        return {"name": "features", "n_lags": buffers.n_lags, "series": buffers.count()}


def main(argv: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM and returns the exit code."""
    about = (
        f"{_ABOUT} It takes no options: CONTENDER_DATABASE_URL is needed unless `contender up` runs, "
        "CONTENDER_FEATURES_HOST and CONTENDER_FEATURES_PORT say where it listens, N_LAGS how many values it answers "
        "with (12)."
    )
    return run("features", lambda settings: (settings.features_host, settings.features_port), about, argv)


if __name__ == "__main__":
    sys.exit(main())
