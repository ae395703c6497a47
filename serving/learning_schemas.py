"""The shapes of the learning endpoints, as the documentation shows them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from serving.pushed_rows import MOST_ROWS, MOST_STEPS

_FEATURES = {
    "type": "object",
    "additionalProperties": {"type": "number"},
    "description": "Any numbers by name; whatever the task declares is checked.",
    "example": {"in_1": 135.0, "in_2": 130.0},
}
_ID = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}, {"type": "integer"}],
    "description": "Idempotency key: sent again with the same content, the row counts once.",
}
_SERIES = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"}
_TARGET = {"anyOf": [{"type": "number"}, {"type": "boolean"}], "description": "What came true."}


def rows(*, target: bool) -> dict[str, Any]:
    """The JSON Schema of a body: one row, or a list of rows."""
    properties = {"features": _FEATURES, "id": _ID, "series_id": _SERIES}
    required = ["features"]
    if target:
        properties = {"features": _FEATURES, "target": _TARGET, "id": _ID, "series_id": _SERIES}
        required = ["features", "target"]
    row = {"type": "object", "properties": properties, "required": required}
    return {"anyOf": [row, {"type": "array", "items": row, "maxItems": MOST_ROWS}]}


def ahead() -> dict[str, Any]:
    """The JSON Schema of what /predict_many takes."""
    steps = {"type": "integer", "minimum": 1, "maximum": MOST_STEPS, "default": 5}
    return {"type": "object", "properties": {"features": _FEATURES, "series_id": _SERIES, "steps": steps}}


class PushedTaskQuery(BaseModel):
    """Which pushed task is spoken to."""

    task: str = Field(default="live", max_length=60, description="A task with `source: pushed`.")


class OnePrediction(BaseModel):
    """What the model said before it learned the row; a list of them for a list of rows."""

    prediction: float | None = Field(description="A number, or 1 or 0; null while there is no prediction yet.")
    probability: float | None = Field(default=None, description="P(1), of a binary task.")


class Trained(BaseModel):
    """The row is stored and learned; a list of these for a list of rows."""

    message: Literal["Model trained successfully"]


class Step(BaseModel):
    """One step of a forecast."""

    step: int
    value: float | None


class Forecast(BaseModel):
    """The next values, one a step."""

    forecast: list[Step]


class ModelMetrics(BaseModel):
    """By series (`default` where rows name none) the figures of the predictions whose labels came; and the model."""

    model_config = {"extra": "allow"}
    model_info: dict[str, Any]


class FeedbackBody(BaseModel):
    """What a person has to say of a prediction."""

    message: str = Field(min_length=1, max_length=10_000)
    prediction_id: str | int | None = Field(default=None, description="The id under which it was asked.")
    rating: int | None = Field(default=None, ge=-(2**31), le=2**31 - 1)


class FeedbackKept(BaseModel):
    """It is kept."""

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
