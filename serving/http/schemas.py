"""The request and response schemas of predictions, tasks and health."""

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, Field


def _never_null(schema: dict[str, Any]) -> None:
    """Documents a field as optional instead of nullable: answers leave it out, and never have null."""
    # pydantic writes `anyOf: [the type, null]` with the default null.
    schema.update(schema.pop("anyOf")[0])
    del schema["default"]


def _threshold(schema: dict[str, Any]) -> None:
    _never_null(schema)
    schema["example"] = 0.55


class TaskPath(BaseModel):
    """Which task."""

    task: str = Field(description="Name of a task; `/tasks` lists them.", json_schema_extra={"example": "airline"})


class PushedTaskPath(BaseModel):
    """Which pushed task."""

    task: str = Field(
        description="Name of a task to which rows are pushed; `/info` lists them.",
        json_schema_extra={"example": "phishing"},
    )


class ThresholdQuery(BaseModel):
    """The options of a prediction."""

    threshold: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="UP is predicted when P(UP) is at least this, a number from 0 to 1. Without it, the task's own "
        "(0.5). A task that predicts a number takes none.",
        json_schema_extra=_threshold,
    )


class Prediction(BaseModel):
    """The champion's prediction of the value that follows the newest data."""

    prediction: Literal["UP", "DOWN"] | float = Field(description="UP or DOWN; a number where a value is predicted.")
    confidence: float | None = Field(
        default=None, description="P(UP). Absent where a value is predicted.", json_schema_extra=_never_null
    )
    threshold: float | None = Field(
        default=None, description="What P(UP) was compared with. Absent likewise.", json_schema_extra=_never_null
    )
    model_source: Literal["mlflow", "last-good copy"] = Field(
        description="`mlflow`: the registry's alias names this version. `last-good copy`: the registry has not "
        "answered since the service started, or lost the alias, and the version that served last serves on."
    )
    model_alias: str = Field(examples=["champion"])
    model_name: str = Field(description="The registered model, named as the task.", examples=["spy"])
    model_version: int = Field(description="Version in the registry; also in the header X-Model-Version.")
    contender: str = Field(description="The procedure that made the model.", examples=["logistic"])
    as_of: date = Field(description="Date of the newest data the prediction is made from.")
    target_date: date = Field(description="Date that is predicted.")
    data_source: str = Field(description="Where the data came from.", examples=["yahoo", "sample"])
    data_age_days: int = Field(description="Days from `as_of` to today (UTC).")
    stale: bool = Field(description="Whether the data are older than the task allows.")
    beats_baseline: str = Field(description="Whether the contender beats the baseline: yes, no or unproven.")
    last_event_id: int | None = Field(
        default=None,
        description="The newest event of the task's log that the model had learned. Absent where it learns from none.",
        json_schema_extra=_never_null,
    )


class ChampionInfo(BaseModel):
    """The version that serves a task."""

    version: int
    contender: str
    kind: str
    trained_through: date
    rows_trained: int
    run_id: str
    artifact_digest: str
    model_source: str
    last_event_id: int | None = Field(default=None, description="The newest event that what answers has learned.")


class DataInfo(BaseModel):
    """The data that a task's answers are made from."""

    series: str
    source: str
    as_of: date
    target_date: date
    data_age_days: int
    stale: bool
    data_hash: str
    features_hash: str


class AlertInfo(BaseModel):
    """What needs a person's attention, for as long as it lasts."""

    alert: Literal["champion_lost", "champion_refused", "guard_moved"] = Field(
        description="`champion_lost`: MLflow has no champion alias any more, and the last good copy serves. "
        "`champion_refused`: the alias names a version that is not served, and what served before serves on. "
        "`guard_moved`: the version promoted last did worse than the one before, which is champion again."
    )
    problem: str
    remedy: str


class TaskInfo(BaseModel):
    """A task, and how it is served now."""

    name: str
    title: str
    series: str = Field(description="The series the task file names; `data.series` is the one in use.")
    source: str
    frequency: str
    target: str
    threshold: float | None = Field(default=None, description="The task's own threshold, for UP and DOWN.")
    metric: str
    baseline: str
    contenders: dict[str, str] = Field(description="Kind of each contender.")
    features: list[str] = Field(description="The transforms of the task file.")
    prediction: str = Field(description="The path of its prediction.")
    alerts: list[AlertInfo] = Field(description="What is wrong with its champion; also in `/metrics`.")
    champion: ChampionInfo | None = None
    data: DataInfo | None = None
    beats_baseline: str | None = None


class TaskList(BaseModel):
    """Every task."""

    tasks: list[TaskInfo]


class Contact(BaseModel):
    """When a service that this one needs answered last."""

    state: Literal["fresh", "stale", "never heard"]
    age_seconds: float | None = None


class Readiness(BaseModel):
    """Whether the service answers, and how fresh what it answers from is. It is ready without a champion too."""

    status: Literal["ready"]
    registry: Contact
    database: Contact
    champions: dict[str, int | None] = Field(description="Version served of each task; null: none yet.")
    alerts: dict[str, list[str]] = Field(description="Alerts by task; `/info` says what to do about them.")


class HealthSchema(Readiness):
    """Readiness, and whether the learners of the pushed tasks are in memory."""

    model_loaded: bool


class PushedTaskInfo(BaseModel):
    """A pushed task, and its learner. Counts are those of the worker that answers."""

    name: str
    title: str
    target: Literal["value", "binary"]
    contender: str = Field(description="The contender that learns and answers.")
    contenders: list[str]
    model_loaded: bool
    last_event_id: int | None = Field(default=None, description="The last event of the log that it has learned.")
    rows_learned: int | None = None
    metrics: str = Field(description="The path of its metrics.")
    alerts: list[AlertInfo] = Field(description="What is wrong with its champion; also in `/metrics`.")


class ServiceInfo(Readiness):
    """Readiness, and every task."""

    tasks: list[TaskInfo]
    pushed_tasks: list[PushedTaskInfo]
