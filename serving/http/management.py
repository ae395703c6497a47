"""What all management endpoints share: dependencies, fields of bodies, documentation of responses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import sqlalchemy as sa
from flask import Response
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from core.config.settings import Settings
from core.jobs.clock import Clock
from serving.pushed.learning import Learning
from training.override_commands import require_task
from web import rate_limits, roles
from web.problems import problem_response

MANAGEMENT = Tag(name="management", description="For administrators: a bearer token of the role `admin`, always.")
LARGEST_INTEGER, LARGEST_BIGINT = 2**31 - 1, 2**63 - 1
"""The largest values of Postgres's integer and bigint."""
# Strict: `true` and "1" are no version numbers.
Number = Annotated[int, Field(ge=1, le=LARGEST_INTEGER, strict=True)]

READS: dict[str | int, Any] = {
    **roles.RESPONSES,
    **rate_limits.RESPONSES,
    "503": problem_response(
        "Postgres or MLflow does not answer (`unreachable`), or files are not as recorded (`integrity`)."
    ),
}
READS_TASK: dict[str | int, Any] = {**READS, "404": problem_response("There is no such task (`not_found`).")}
CHANGES: dict[str | int, Any] = {
    **READS,
    "400": problem_response("The body is not JSON (`malformed`)."),
    "404": problem_response("There is no such task, or nothing of the number that is named (`not_found`)."),
    "413": problem_response("The body is too large (`too_large`)."),
    "415": problem_response("The body is not sent as JSON (`unsupported_media_type`)."),
}


@dataclass(frozen=True)
class ManagementContext:
    """The dependencies of one worker's management endpoints."""

    engine: sa.Engine
    settings: Settings
    clock: Clock
    learning: Learning

    def require(self, task: str) -> str:
        """Returns the name of a task that exists. Raises NotFoundError for another."""
        require_task(self.settings.tasks, task)
        return task


class Body(BaseModel):
    """A body: unknown fields are refused, and every change has a reason."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field(
        min_length=1,
        max_length=1_000,
        pattern=r"^[^\u0000]+$",
        description="The reason, for those who look later.",
        json_schema_extra={"example": "Seen to by hand."},
    )


class LimitQuery(BaseModel):
    """How many rows are listed."""

    limit: int = Field(default=100, ge=1, le=1_000, description="How many to list, of the newest.")


def json_response(body: BaseModel, status: int = 200) -> Response:
    """A JSON response."""
    return Response(body.model_dump_json() + "\n", status, mimetype="application/json")


def route(summary: str, success: Mapping[str, Any], problems: Mapping[str | int, Any], **more: str) -> dict[str, Any]:
    """The OpenAPI arguments of a route.

    Args:
        summary: one line.
        success: the model of each status without a problem.
        problems: the problems that it shares with other routes.
        more: descriptions of its own problems, by `s` and the status.
    """
    own = {status.removeprefix("s"): problem_response(when) for status, when in more.items()}
    return {
        "tags": [MANAGEMENT],
        "summary": summary,
        "security": roles.SECURITY,
        "responses": {**success, **problems, **own},
    }
