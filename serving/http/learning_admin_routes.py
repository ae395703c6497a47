"""The management routes of a running service: reloads, pauses, the quarantine, the audit log. Thin."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from flask import Response
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field

from core.auth import audit
from core.auth.tokens import Role
from core.config.task_files import pushed_names
from serving.http.management import (
    CHANGES,
    LARGEST_BIGINT,
    READS,
    READS_TASK,
    Body,
    LimitQuery,
    ManagementContext,
    json_response,
    route,
)
from serving.http.schemas import PushedTaskPath, TaskPath
from serving.pushed import control
from serving.pushed.control import Switch
from serving.runtime import reloads
from training.event_log import quarantine
from web.roles import principal, require

_NOT_PUSHED = "The task's rows come from a source (`not_pushed`)."
_STORED = (
    "Each worker reads the task's declaration, its data and its aliases, loads the champion's files again, and checks "
    "them against their digest and their golden predictions. What serves now serves until that is done, and on if it "
    "fails; the log and `model_reload_failures_total` show that."
)
_PUSHED = (
    "Each worker reads the task's declaration, restores the learner from its newest checkpoint, and replays the log to "
    "its head. What learns and serves now does so until that is done, and on if it fails; the log shows that."
)


class ReloadRequested(BaseModel):
    """The reload was requested; each worker does it for itself."""

    task: str
    reload: int = Field(description="The number of this reload.")
    within_seconds: float = Field(description="How soon every worker that reaches Postgres begins.")
    what: str = Field(description="What each worker does then.")


class LearningState(BaseModel):
    """Whether the task's model learns."""

    task: str
    learning: Literal["on", "paused"]
    event_id: int | None = Field(description="The event at which it was paused or resumed; null: it was on already.")
    changed: bool = Field(description="False: it was so already.")


class QuarantineQuery(LimitQuery):
    """Which rejected rows are listed."""

    all: bool = Field(default=False, description="Also those that were released.")


class QuarantinedRow(BaseModel):
    """A row that was rejected."""

    id: int
    kind: str
    event_id: str | None
    series_id: str | None
    features: dict[str, float] | None
    target: float | None
    reason: str
    detail: str
    received_at: datetime
    released_at: datetime | None
    released_by: str | None
    released_why: str | None
    seq: int | None = Field(description="Its event in the log, once released.")


class QuarantineList(BaseModel):
    """The newest rows first."""

    task: str
    rows: list[QuarantinedRow]


class QuarantinedPath(PushedTaskPath):
    """Which rejected row."""

    id: int = Field(ge=1, le=LARGEST_BIGINT, json_schema_extra={"example": 1})


class Released(BaseModel):
    """The row is in the log, and learned."""

    task: str
    id: int
    event_id: int = Field(description="Its number in the log.")


class AuditQuery(LimitQuery):
    """Which rows are listed."""

    before: int = Field(default=LARGEST_BIGINT, ge=1, le=LARGEST_BIGINT, description="Only those with a smaller id.")


class AuditRow(BaseModel):
    """One action of an administrator or a client."""

    id: int
    at: datetime
    who: str
    action: str
    outcome: str
    detail: dict[str, Any]


class AuditList(BaseModel):
    """The newest rows first."""

    rows: list[AuditRow]


def add(app: OpenAPI, context: ManagementContext) -> None:
    """Adds the routes."""
    base = "/management/tasks/<task>"

    def switch_learning(task: str, switch: Switch, why: str) -> Response:
        loaded = control.pushed(context.learning, context.settings, context.require(task))
        made = control.switch_learning(context.engine, loaded, switch, who=principal().who, why=why)
        state: Literal["on", "paused"] = "paused" if made.is_paused else "on"
        return json_response(LearningState(task=task, learning=state, event_id=made.seq, changed=made.changed))

    @app.post(f"{base}/reload", **route("Let every worker load the task again", {"202": ReloadRequested}, CHANGES))
    @require(Role.ADMIN)
    def reload(path: TaskPath, body: Body) -> Response:
        number = reloads.request(context.engine, context.require(path.task), who=principal().who, why=body.why)
        what = _PUSHED if path.task in pushed_names(context.settings.tasks) else _STORED
        seconds = context.settings.alias_poll_seconds
        return json_response(ReloadRequested(task=path.task, reload=number, within_seconds=seconds, what=what), 202)

    @app.post(
        f"{base}/pause",
        description="Rows are still taken, predicted and scored; they are learned when learning is resumed.",
        **route("Pause the learning of a pushed task", {"200": LearningState}, CHANGES, s409=_NOT_PUSHED),
    )
    @require(Role.ADMIN)
    def pause(path: PushedTaskPath, body: Body) -> Response:
        return switch_learning(path.task, "pause", body.why)

    @app.post(
        f"{base}/resume",
        description="What came during the pause is learned first, in its order.",
        **route("Resume the learning of a pushed task", {"200": LearningState}, CHANGES, s409=_NOT_PUSHED),
    )
    @require(Role.ADMIN)
    def resume(path: PushedTaskPath, body: Body) -> Response:
        return switch_learning(path.task, "resume", body.why)

    @app.get(
        f"{base}/quarantine",
        **route("Rows that were refused", {"200": QuarantineList}, READS_TASK, s409=_NOT_PUSHED),
    )
    @require(Role.ADMIN)
    def list_quarantine(path: PushedTaskPath, query: QuarantineQuery) -> Response:
        loaded = control.pushed(context.learning, context.settings, context.require(path.task))
        rows = quarantine.listed(context.engine, loaded.log, waiting_only=not query.all, limit=query.limit)
        return json_response(QuarantineList(task=path.task, rows=[QuarantinedRow(**asdict(row)) for row in rows]))

    @app.post(
        f"{base}/quarantine/<id>/release",
        **route(
            "Let a refused row be learned",
            {"200": Released},
            CHANGES,
            s409="Its id was used since with other content (`conflict`), it was released before (`released`), or the "
            "task's rows come from a source (`not_pushed`).",
        ),
    )
    @require(Role.ADMIN)
    def release(path: QuarantinedPath, body: Body) -> Response:
        loaded = control.pushed(context.learning, context.settings, context.require(path.task))
        seq = control.release(context.engine, loaded, path.id, who=principal().who, why=body.why)
        return json_response(Released(task=path.task, id=path.id, event_id=seq))

    @app.get("/management/audit", **route("Who did what", {"200": AuditList}, READS))
    @require(Role.ADMIN)
    def read_audit(query: AuditQuery) -> Response:
        rows = audit.newest(context.engine, limit=query.limit, before=query.before)
        return json_response(AuditList(rows=[AuditRow(**asdict(row)) for row in rows]))
