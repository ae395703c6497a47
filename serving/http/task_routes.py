"""The management routes of task configurations: reading, replacing and restoring a declaration. Thin."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from flask import Response
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.auth.tokens import Role
from serving.http.management import (
    CHANGES,
    LARGEST_INTEGER,
    READS_TASK,
    Body,
    LimitQuery,
    ManagementContext,
    Number,
    json_response,
    route,
)
from serving.http.schemas import TaskPath
from training import override_commands
from training.override_commands import Changed
from web.roles import principal, require

_STALE = "Another configuration came since that number was read (`stale_number`): nothing was written."
_INVALID = "The body does not fit (`invalid`), or the task cannot run as it declares (`invalid_declaration`)."


class ConfigurationItem(BaseModel):
    """A configuration that was written."""

    number: int
    origin: Literal["file", "configuration"] = Field(description="`file`: it put the task's file in force again.")
    declaration: dict[str, Any] | None
    who: str
    why: str
    at: datetime


class ConfigurationView(BaseModel):
    """The declaration of a task in force."""

    task: str
    number: int = Field(description="Of the newest configuration, to be expected by the next; 0: there is none.")
    origin: Literal["file", "configuration"] = Field(description="Whether the file counts or that configuration.")
    declaration: dict[str, Any] | None = Field(description="The whole task; null where what counts cannot be used.")
    trouble: str | None = Field(description="Why not.")
    history: list[ConfigurationItem] = Field(description="The newest first.")


class ReplaceBody(Body):
    """The declaration to put in force."""

    declaration: dict[str, Any] = Field(
        description="The whole task, as its file would say it.", json_schema_extra={"example": {"name": "airline"}}
    )
    expected_number: int = Field(
        ge=0, le=LARGEST_INTEGER, strict=True, description="The number that was read.", json_schema_extra={"example": 0}
    )


class RestoreBody(Body):
    """The earlier declaration to put in force again."""

    to: Number | Literal["file"] = Field(
        description="The number of an earlier configuration, or `file`.", json_schema_extra={"example": "file"}
    )
    expected_number: int | None = Field(
        default=None, ge=0, le=LARGEST_INTEGER, strict=True, description="The number that was read; null: any."
    )


class ConfigurationChanged(BaseModel):
    """The declaration in force after the request."""

    task: str
    number: int
    origin: Literal["file", "configuration"]
    changed: bool = Field(description="False: it counted already, and nothing was written.")
    within_seconds: float = Field(description="How soon the API's workers begin to follow; jobs do so when they start.")


def add(app: OpenAPI, context: ManagementContext) -> None:
    """Adds the routes."""
    base = "/management/tasks/<task>/configuration"

    def respond(made: Changed) -> Response:
        return json_response(ConfigurationChanged(**asdict(made), within_seconds=context.settings.alias_poll_seconds))

    @app.get(base, **route("What a task is declared to be", {"200": ConfigurationView}, READS_TASK))
    @require(Role.ADMIN)
    def read_configuration(path: TaskPath, query: LimitQuery) -> Response:
        shown = override_commands.show(context.engine, context.settings, context.require(path.task), query.limit)
        history = [
            ConfigurationItem(**asdict(one), origin="file" if one.declaration is None else "configuration")
            for one in shown.history
        ]
        return json_response(ConfigurationView(**{**vars(shown), "history": history}))

    @app.put(
        base,
        description="The declaration is checked as the task's file is. It counts instead of the file for jobs and for "
        "the API, until another does; a changed contender learns or trains from the start. The file still says "
        "which tasks there are, and whether their rows are pushed.",
        **route(
            "Replace what a task is declared to be", {"200": ConfigurationChanged}, CHANGES, s409=_STALE, s422=_INVALID
        ),
    )
    @require(Role.ADMIN)
    def replace_configuration(path: TaskPath, body: ReplaceBody) -> Response:
        return respond(
            override_commands.replace(
                context.engine,
                context.settings,
                context.require(path.task),
                body.declaration,
                expected_number=body.expected_number,
                who=principal().who,
                why=body.why,
            )
        )

    @app.post(
        f"{base}/restore",
        description="An earlier configuration, or the file, counts again: as the newest one, for none is taken away.",
        **route("Restore an earlier declaration", {"200": ConfigurationChanged}, CHANGES, s409=_STALE, s422=_INVALID),
    )
    @require(Role.ADMIN)
    def restore_configuration(path: TaskPath, body: RestoreBody) -> Response:
        return respond(
            override_commands.restore(
                context.engine,
                context.settings,
                context.require(path.task),
                body.to,
                expected_number=body.expected_number,
                who=principal().who,
                why=body.why,
            )
        )
