"""The routes of pushed rows: predict, learn, forecast, feedback. The fast path answers most requests before them."""

from typing import Any, get_args

from flask import Response, request
from flask_openapi3.models.tag import Tag
from flask_openapi3.openapi import OpenAPI

from core.auth.tokens import Role
from serving.http import learning_schemas
from serving.http.learning_schemas import (
    FeedbackBody,
    FeedbackKept,
    FeedbackList,
    FeedbackQuery,
    Forecast,
    ModelMetrics,
    OnePrediction,
    OneTrained,
    Predicted,
    PushedTaskQuery,
    Trained,
)
from serving.pushed import feedback
from serving.pushed.learning import Learning, LearningAnswer, encode
from serving.pushed.parsing import Action
from web import rate_limits, roles
from web.problems import problem_response

LEARNING = Tag(name="learning", description="Models that learn as rows are pushed.")

_PROBLEMS: dict[str | int, Any] = {
    "400": problem_response("The body is not JSON (`malformed`)."),
    "404": problem_response("There is no such pushed task (`not_found`)."),
    "413": problem_response("The body, the list or the number of steps is too large (`too_large`)."),
    "415": problem_response("The body is not sent as JSON (`unsupported_media_type`)."),
    **rate_limits.RESPONSES,
    "503": problem_response("Postgres does not answer (`unreachable`), or the learner cannot be used (`integrity`)."),
}
_TAKES: dict[str | int, Any] = {
    **_PROBLEMS,
    "409": problem_response("The id was used before with other content (`conflict`)."),
    "422": problem_response("A row does not fit (`invalid`) or was put into quarantine (`quarantined`)."),
}
_ACCESS: dict[str | int, Any] = {status: roles.RESPONSES[status] for status in ("401", "403")}
_LEARNS = _TAKES | _ACCESS
_PREDICTED: dict[str | int, Any] = {"200": Predicted, "207": learning_schemas.partly(OnePrediction)}
_TRAINED: dict[str | int, Any] = {"200": Trained, "207": learning_schemas.partly(OneTrained)}


def add(app: OpenAPI, learning: Learning) -> None:
    """Adds the endpoints, which existing clients of such services know."""

    def respond(answer: LearningAnswer) -> Response:
        return Response(encode(answer.body), answer.status, mimetype="application/json")

    def act(action: Action, query: PushedTaskQuery) -> Response:
        request.get_json()  # refuses another media type, and what is not JSON, as every service does
        return respond(learning.handle(action, query.task, request.get_data()))

    @app.post("/predict", tags=[LEARNING], summary="Predict", responses={**_PREDICTED, **_TAKES})
    def predict(query: PushedTaskQuery) -> Response:
        return act("predict", query)

    @app.post("/train", tags=[LEARNING], summary="Learn", security=roles.SECURITY, responses={**_TRAINED, **_LEARNS})
    @roles.require(Role.TRAINER)
    def train(query: PushedTaskQuery) -> Response:
        return act("train", query)

    @app.post(
        "/predict_learn",
        tags=[LEARNING],
        summary="Predict, then learn",
        responses={**_PREDICTED, **_LEARNS},
        security=roles.SECURITY,
    )
    @roles.require(Role.TRAINER)
    def predict_learn(query: PushedTaskQuery) -> Response:
        return act("predict_learn", query)

    @app.post("/predict_many", tags=[LEARNING], summary="Forecast some steps", responses={"200": Forecast, **_PROBLEMS})
    def predict_many(query: PushedTaskQuery) -> Response:
        request.get_json()
        return respond(learning.forecast(query.task, request.get_data()))

    @app.get(
        "/model_metrics",
        tags=[LEARNING],
        summary="How well the model predicts",
        responses={"200": ModelMetrics, "404": _PROBLEMS["404"], "503": _PROBLEMS["503"]},
    )
    def model_metrics(query: PushedTaskQuery) -> dict[str, Any]:
        return learning.metrics(query.task)

    @app.post(
        "/feedback",
        tags=[LEARNING],
        summary="Give feedback on a prediction",
        security=roles.SECURITY,
        responses={"200": FeedbackKept, **_PROBLEMS, **_ACCESS},
    )
    @roles.require(Role.TRAINER)
    def post_feedback(query: PushedTaskQuery, body: FeedbackBody) -> dict[str, Any]:
        number = feedback.keep(
            learning.engine, learning.task(query.task).log, body.message, body.prediction_id, body.rating
        )
        return {"message": "Feedback received successfully", "id": number}

    @app.get(
        "/feedback",
        tags=[LEARNING],
        summary="The feedback that was given",
        responses={"200": FeedbackList, "404": _PROBLEMS["404"], "503": _PROBLEMS["503"]},
    )
    def get_feedback(query: FeedbackQuery) -> dict[str, Any]:
        return {"feedback": feedback.listed(learning.engine, learning.task(query.task).log, query.limit)}

    # The bodies are documented by hand: as models, flask-openapi3 would parse each row a second time.
    bodies = {f"/{action}": learning_schemas.rows(action) for action in get_args(Action)}
    for path, body in {**bodies, "/predict_many": learning_schemas.forecast()}.items():
        operation = app.paths[path].post
        assert operation is not None, path  # noqa: S101 (added above)
        operation.requestBody = body
