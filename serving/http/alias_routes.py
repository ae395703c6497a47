"""The management routes of versions and aliases: listing them, and moving aliases. Thin."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Literal

from flask import Response
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.auth.tokens import Role
from serving.http.management import (
    CHANGES,
    READS_TASK,
    Body,
    LimitQuery,
    ManagementContext,
    Number,
    json_response,
    route,
)
from serving.http.schemas import TaskPath
from training.ledger import entries as ledger
from training.ledger import manual
from training.ledger.manual import PromotionRequest
from training.ledger.rollback import roll_back
from training.registry import versions
from web.roles import principal, require

_BUSY = "A job is at work on the task's aliases (`busy`): nothing was moved."


class MoveResponse(BaseModel):
    """The record in Postgres of a version's training."""

    contender: str
    kind: str
    series: str
    trained_through: date
    rows_trained: int
    data_hash: str
    artifact_digest: str
    code_version: str


class VersionItem(BaseModel):
    """A version in MLflow."""

    version: int
    run_id: str
    aliases: list[str]
    tags: dict[str, str] = Field(description="In MLflow; `contender` and `trained_through` are among them.")
    recorded: MoveResponse | None = Field(description="Null: this installation did not make it, and never serves it.")


class VersionList(BaseModel):
    """The newest versions first."""

    task: str
    versions: list[VersionItem]


class PromoteBody(Body):
    """The version that is to have an alias."""

    version: Number = Field(json_schema_extra={"example": 1})
    alias: Literal["champion", "challenger"] = Field(default="champion", json_schema_extra={"example": "champion"})


class RollbackBody(Body):
    """The version to go back to."""

    to: Number | None = Field(
        default=None,
        description="A version; without it, the champion before the present one.",
        json_schema_extra={"example": 1},
    )


class MoveMade(BaseModel):
    """The alias after the move."""

    task: str
    alias: Literal["champion", "challenger"]
    from_version: int | None = Field(description="The version that had it before.")
    version: int
    contender: str
    moved: bool = Field(description="False: the version had it already. It is pinned all the same.")
    pinned: bool = Field(description="Whether the gate leaves it alone until `contender unpin`.")


class LedgerRow(BaseModel):
    """One row of the ledger: a phase of a move."""

    id: int
    at: datetime
    move: str
    alias: str
    phase: Literal["intent", "confirmed", "abandoned", "external"]
    from_version: int | None
    to_version: int | None
    who: str
    why: str
    decision_id: int | None


class LedgerList(BaseModel):
    """The newest rows first."""

    task: str
    rows: list[LedgerRow]


def add(app: OpenAPI, context: ManagementContext) -> None:
    """Adds the routes."""
    base = "/management/tasks/<task>"

    @app.get(f"{base}/versions", **route("Versions, their tags and aliases", {"200": VersionList}, READS_TASK))
    @require(Role.ADMIN)
    def list_versions(path: TaskPath, query: LimitQuery) -> Response:
        found = versions.listed(context.engine, context.settings, context.require(path.task), query.limit)
        return json_response(
            VersionList(task=path.task, versions=[VersionItem(**asdict(version)) for version in found])
        )

    @app.post(
        f"{base}/promote",
        description="Moves an alias and pins it there, as a move by hand in MLflow does: the gate moves it again only "
        "after `contender unpin`. One that is there already is pinned. The version must have been trained here.",
        **route(
            "Give an alias to a version",
            {"200": MoveMade},
            CHANGES,
            s409=_BUSY,
            s422="The body does not fit (`invalid`), or Postgres does not know the version's digest (`data_refused`).",
        ),
    )
    @require(Role.ADMIN)
    def promote(path: TaskPath, body: PromoteBody) -> Response:
        task = context.require(path.task)
        promotion = PromotionRequest(task, body.alias, body.version, principal().who, body.why, ledger.PROMOTED)
        return json_response(
            MoveMade(**asdict(manual.promote(context.engine, context.settings, promotion, context.clock)))
        )

    @app.post(
        f"{base}/rollback",
        description="Moves the alias `champion` back and pins it. A second request leaves it where the first "
        "rollback has put it; name a version to go further.",
        **route(
            "Go back to an earlier champion",
            {"200": MoveMade},
            CHANGES,
            s409=_BUSY,
            s422="The body does not fit (`invalid`), or Postgres does not know the version's digest (`data_refused`).",
        ),
    )
    @require(Role.ADMIN)
    def rollback(path: TaskPath, body: RollbackBody) -> Response:
        task, who = context.require(path.task), principal().who
        made = roll_back(context.engine, context.settings, task, context.clock, to=body.to, who=who, why=body.why)
        return json_response(MoveMade(**asdict(made)))

    @app.get(f"{base}/ledger", **route("Every move of the task's aliases", {"200": LedgerList}, READS_TASK))
    @require(Role.ADMIN)
    def read_ledger(path: TaskPath, query: LimitQuery) -> Response:
        rows = [
            LedgerRow(
                id=entry.id,
                at=entry.at,
                phase=entry.phase,
                move=entry.move.id,
                **{name: getattr(entry.move, name) for name in ("alias", "from_version", "to_version", "who", "why")},
                decision_id=entry.move.decision_id,
            )
            for entry in ledger.newest(context.engine, context.require(path.task), query.limit)
        ]
        return json_response(LedgerList(task=path.task, rows=rows))
