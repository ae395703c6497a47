"""The public routes: predictions, tasks, health, metrics. Thin."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import monotonic
from typing import Any

from flask import Response, request
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI

from core.config.tasks import Task
from core.jobs.clock import Clock
from serving.champion.predictor import ServedPrediction
from serving.champion.state import ServingState
from serving.http.fast_path import BY_TASK, TOMORROW, TOMORROW_TASK
from serving.http.responses import ResponseCache
from serving.http.schemas import (
    AlertInfo,
    HealthSchema,
    Prediction,
    PushedTaskInfo,
    Readiness,
    ServiceInfo,
    TaskInfo,
    TaskList,
    TaskPath,
    ThresholdQuery,
)
from serving.pushed.metric_report import LearnerMetrics
from serving.pushed.tasks import LoadedTask
from serving.runtime import prometheus as metrics
from serving.runtime.alerts import Alert, Alerts
from serving.runtime.prometheus import Metrics
from web.app import SERVICE, add_liveness
from web.problems import problem_response

PREDICTIONS = Tag(name="predictions", description="The champions' predictions.")


_TASK = problem_response("There is no such task (`not_found`).")
_NOT_YET = problem_response("No champion, no data or no prediction yet (`no_champion`, `no_data`, `no_prediction`).")


def add_predictions(app: OpenAPI, state: ServingState, responses: ResponseCache, clock: Clock, alerts: Alerts) -> None:
    """Adds the tasks, and the two routes that predict. `serving.http.fast_path` answers most of their requests."""

    def answer(task: str, threshold: float | None) -> Response:
        sent = responses.make(state.prediction(task), request.query_string.decode("latin-1"), threshold)
        return Response(sent.body, headers=sent.headers)

    @app.get(
        TOMORROW,
        tags=[PREDICTIONS],
        summary="Does the S&P 500 close higher tomorrow?",
        description=f"The champion's answer for the next session of the task `{TOMORROW_TASK}`.",
        responses={"200": Prediction, "404": _TASK, "503": _NOT_YET},
    )
    def tomorrow(query: ThresholdQuery) -> Response:
        return answer(TOMORROW_TASK, query.threshold)

    @app.get("/tasks", tags=[PREDICTIONS], summary="The tasks, and their champions", responses={"200": TaskList})
    def tasks() -> dict[str, Any]:
        return {"tasks": all_tasks(state, clock, alerts)}

    @app.get(
        BY_TASK,
        tags=[PREDICTIONS],
        summary="The champion's answer for a task",
        description="UP or DOWN with P(UP), or a number, whichever the task predicts.",
        responses={"200": Prediction, "404": _TASK, "503": _NOT_YET},
    )
    def by_task(path: TaskPath, query: ThresholdQuery) -> Response:
        return answer(path.task, query.threshold)


def add_service(
    app: OpenAPI,
    state: ServingState,
    metrics_of_all: Metrics,
    clock: Clock,
    poll_seconds: float,
    tasks: Mapping[str, LoadedTask],
    alerts: Alerts,
) -> None:
    """Adds the routes of champions, health and metrics."""

    def contact(answered_at: float | None) -> dict[str, Any]:
        if answered_at is None:
            return {"state": "never heard", "age_seconds": None}
        # Two polls, and the seconds in which one against a silent server fails.
        age = monotonic() - answered_at
        return {"state": "fresh" if age <= 2 * poll_seconds + 3 else "stale", "age_seconds": round(age, 1)}

    def readiness() -> dict[str, Any]:
        served = {
            name: champion.version.version if champion is not None else None
            for name, champion in ((name, state.champions.get(name)) for name in state.tasks)
        }
        return {
            "status": "ready",
            "registry": contact(state.registry_answered_at),
            "database": contact(state.database_answered_at),
            "champions": served,
            "alerts": alerts.names(),
        }

    @app.get("/info", tags=[SERVICE], summary="Champions, versions, data, evidence", responses={"200": ServiceInfo})
    def info() -> dict[str, Any]:
        infos = (pushed_info(loaded, alerts.of(name)) for name, loaded in sorted(tasks.items()))
        pushed = [info.model_dump(mode="json", exclude_none=True) for info in infos]
        return {**readiness(), "tasks": all_tasks(state, clock, alerts), "pushed_tasks": pushed}

    @app.get(
        "/health", tags=[SERVICE], summary="Readiness, and whether models are loaded", responses={"200": HealthSchema}
    )
    def health() -> dict[str, Any]:
        return {**readiness(), "model_loaded": all(loaded.running.is_loaded for loaded in tasks.values())}

    add_liveness(app)

    @app.get("/health/ready", tags=[SERVICE], summary="Whether it answers requests", responses={"200": Readiness})
    def ready() -> dict[str, Any]:
        return readiness()

    text: dict[str, Any] = {"description": "Prometheus's text format.", "content": {"text/plain": {}}}

    @app.get("/metrics", tags=[SERVICE], summary="Metrics of all workers", responses={"200": text})
    def metrics_page() -> Response:
        return Response(metrics_of_all.page(LearnerMetrics(tasks)), content_type=metrics.CONTENT_TYPE)


def pushed_info(loaded: LoadedTask, alerts: Sequence[Alert]) -> PushedTaskInfo:
    """A pushed task and its learner."""
    position: dict[str, Any] = {}
    # To read a learner that is not loaded would restore it, and `/info` must not wait for a replay.
    if loaded.running.is_loaded:
        with loaded.running.lock:
            position = {
                "last_event_id": loaded.running.learner.seq,
                "rows_learned": loaded.running.learner.rows_learned,
            }
    return PushedTaskInfo(
        name=loaded.task.name,
        title=loaded.task.title,
        target=loaded.task.target.kind,
        contender=loaded.contender,
        contenders=list(loaded.task.contenders),
        model_loaded=loaded.running.is_loaded,
        metrics=f"/model_metrics?task={loaded.task.name}",
        alerts=_shown(alerts),
        **position,
    )


def all_tasks(state: ServingState, clock: Clock, alerts: Alerts) -> list[dict[str, Any]]:
    """Every task and how it is served, as JSON."""
    return [
        task_info(task, state.predictions.get(name), clock, alerts.of(name)).model_dump(mode="json", exclude_none=True)
        for name, task in sorted(state.tasks.items())
    ]


def task_info(task: Task, prediction: ServedPrediction | None, clock: Clock, alerts: Sequence[Alert]) -> TaskInfo:
    """A task and how it is served."""
    served: dict[str, Any] = {}
    if prediction is not None:
        version, latest = prediction.champion.version, prediction.latest
        age = (clock.now().date() - latest.row.event_date).days
        served = {
            "champion": {
                "version": version.version,
                "contender": version.contender,
                "kind": version.kind,
                "trained_through": version.trained_through,
                "rows_trained": version.rows_trained,
                "run_id": version.run_id,
                "artifact_digest": version.artifact_digest,
                "model_source": prediction.champion.source,
                "last_event_id": prediction.champion.last_event_id,
            },
            "data": {
                "series": latest.series,
                "source": latest.source,
                "as_of": latest.row.event_date,
                "target_date": latest.row.target_date,
                "data_age_days": age,
                "stale": age > task.stale_after_days,
                "data_hash": latest.data_hash,
                "features_hash": latest.row.features_hash,
            },
            "beats_baseline": prediction.beats_baseline,
        }
    return TaskInfo(
        name=task.name,
        title=task.title,
        series=task.series,
        source=task.source,
        frequency=task.frequency,
        target=task.target.kind,
        threshold=task.target.threshold if task.is_classification else None,
        metric=task.metric,
        baseline=task.baseline,
        contenders={name: contender.kind for name, contender in task.contenders.items()},
        features=[" ".join([feature.transform, *map(str, feature.parameters.values())]) for feature in task.features],
        prediction=BY_TASK.replace("<task>", task.name),
        alerts=_shown(alerts),
        **served,
    )


def _shown(alerts: Sequence[Alert]) -> list[AlertInfo]:
    return [AlertInfo(**asdict(alert)) for alert in alerts]
