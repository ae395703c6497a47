"""The request and response schemas of the learning endpoints."""

from typing import Any, Literal

from flask_openapi3.models.example import Example
from flask_openapi3.models.media_type import MediaType
from flask_openapi3.models.request_body import RequestBody
from flask_openapi3.models.schema import Schema
from pydantic import BaseModel, Field, RootModel

from serving.pushed.parsing import MOST_ROWS, MOST_STEPS, Action

_FEATURES = {
    "type": "object",
    "additionalProperties": {"type": "number"},
    "description": "Any numbers by name; whatever the task declares is checked.",
}
_ID = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}, {"type": "integer"}],
    "description": "Idempotency key: sent again with the same content, the row counts once.",
}
_SERIES = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
_TARGET = {"anyOf": [{"type": "number"}, {"type": "boolean"}], "description": "What came true."}


_STEPS = {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": 5}
_SUMMER, _AUTUMN = {"in_1": 135.0, "in_2": 130.0}, {"in_1": 140.0, "in_2": 135.0}
_EXAMPLES: dict[Action, dict[str, Any]] = {
    "predict": {
        "A row": {"features": _SUMMER},
        "A row whose label will follow": {"features": _SUMMER, "id": "d-1"},
        "A list of rows": [{"features": _SUMMER}, {"features": _AUTUMN}],
    },
    "train": {
        "A row": {"features": _SUMMER, "target": 140.0},
        "The label of a row that was predicted": {"id": "d-1", "target": 140.0},
        "A list of rows": [{"features": _SUMMER, "target": 140.0}, {"features": _AUTUMN, "target": 151.0}],
    },
    "predict_learn": {
        "A row": {"features": _SUMMER, "target": 140.0},
        "A row that counts once": {"features": _AUTUMN, "target": 151.0, "id": "d-2", "series_id": "airline"},
        "A list of rows": [{"features": _SUMMER, "target": 140.0}, {"features": _AUTUMN, "target": 151.0}],
    },
}


def rows(action: Action) -> RequestBody:
    """One row or a list of rows; /train takes the label of a row that has an id alone as well."""
    properties = {"features": _FEATURES, "id": _ID, "series_id": _SERIES}
    required = ["features"]
    if action != "predict":
        properties = {"features": _FEATURES, "target": _TARGET, "id": _ID, "series_id": _SERIES}
        required = ["features", "target"]
    row: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if action == "train":
        row = {"anyOf": [row, {**row, "required": ["id", "target"]}]}
    return _body({"anyOf": [row, {"type": "array", "items": row, "maxItems": MOST_ROWS}]}, _EXAMPLES[action])


def forecast() -> RequestBody:
    """What /predict_many takes."""
    properties = {"features": _FEATURES, "series_id": _SERIES, "steps": _STEPS}
    return _body({"type": "object", "properties": properties}, {"Three steps": {"features": _SUMMER, "steps": 3}})


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> RequestBody:
    shown = {name: Example(value=value) for name, value in examples.items()}
    return RequestBody(content={"application/json": MediaType(schema=Schema(**schema), examples=shown)}, required=True)


class PushedTaskQuery(BaseModel):
    """Which pushed task."""

    task: str = Field(default="live", max_length=60, description="A task with `source: pushed`.")


class OnePrediction(BaseModel):
    """The prediction that the model made before it learned the row."""

    prediction: float | None = Field(description="A number, or 1 or 0; null while there is no prediction yet.")
    probability: float | None = Field(default=None, description="P(1), of a binary task.")


class Predicted(RootModel[OnePrediction | list[OnePrediction]]):
    """A prediction; for a list of rows a list, in the same order."""


class OneTrained(BaseModel):
    """The row is stored and learned."""

    message: Literal["Model trained successfully"]


class Trained(RootModel[OneTrained | list[OneTrained]]):
    """The result for a row; for a list of rows a list, in the same order."""


def partly(answer: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI response 207: of a list of rows not every one was taken."""
    items = [{"$ref": f"#/components/schemas/{name}"} for name in (answer.__name__, "Problem")]
    return {
        "description": "Of a list some rows were refused: each has its answer or its problem, in order.",
        "content": {"application/json": {"schema": {"type": "array", "items": {"anyOf": items}}}},
    }


class Step(BaseModel):
    """One step of a forecast."""

    step: int
    value: float | None


class Forecast(BaseModel):
    """The next values, one a step."""

    forecast: list[Step]


class ModelMetrics(BaseModel):
    """The metrics of the predictions whose labels came, by series (`default` where rows name none); and the model."""

    model_config = {"extra": "allow"}
    model_info: dict[str, Any]


class FeedbackBody(BaseModel):
    """Feedback of a person on a prediction."""

    message: str = Field(min_length=1, max_length=10_000, json_schema_extra={"example": "Too low in summer."})
    prediction_id: str | int | None = Field(
        default=None, description="The id of its request.", json_schema_extra={"example": "d-1"}
    )
    rating: int | None = Field(default=None, ge=-(2**31), le=2**31 - 1, json_schema_extra={"example": 2})


class FeedbackKept(BaseModel):
    """The feedback was stored."""

    message: Literal["Feedback received successfully"]
    id: int


class FeedbackQuery(PushedTaskQuery):
    """Which feedback is read."""

    limit: int = Field(default=100, ge=1, le=1000)


class FeedbackItem(BaseModel):
    """One message."""

    id: int
    message: str
    prediction_id: str | None
    rating: int | None
    received_at: str


class FeedbackList(BaseModel):
    """The newest messages first."""

    feedback: list[FeedbackItem]
