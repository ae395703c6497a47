"""Tasks: WHAT is done, typed and validated before anything runs. `core.config.task_files` reads them."""

import hashlib
import json
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Parameter = int | float | str | bool


class Part(BaseModel):
    """A piece of a task file: unknown keys are an error, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Feature(Part):
    """One transform with its parameters. In the file: `- ma_ratio: {n: 20}` or `- day_of_week`."""

    transform: str
    parameters: dict[str, Parameter] = {}


def _feature(value: Any) -> Any:
    if isinstance(value, str):
        return {"transform": value}
    if isinstance(value, dict) and len(value) == 1 and "transform" not in value:
        ((transform, parameters),) = value.items()
        return {"transform": transform, "parameters": {} if parameters is None else parameters}
    if not isinstance(value, Feature) and not (isinstance(value, dict) and "transform" in value):
        raise ValueError("a feature is written `- day_of_week` or, with its parameters, `- ma_ratio: {n: 20}`")
    return value


class Target(Part):
    """What is predicted.

    `direction`: whether the adjusted return of the next session exceeds zero (a tie is DOWN); `value`: the next value.
    """

    kind: Literal["direction", "value"]
    threshold: float = Field(default=0.5, ge=0, le=1, description="UP is predicted when P(UP) is at least this.")


class Contender(Part):
    """A procedure that makes models: its kind, the name it has in the code, and its parameters."""

    kind: Literal["baseline", "batch", "incremental"]
    procedure: str
    parameters: dict[str, Parameter] = {}
    window: int | None = Field(
        default=None, ge=20, description="Batch: rows of the rolling training window; absent: all rows."
    )
    refit_every: int = Field(default=63, ge=1, description="Batch: rows between two fits.")
    first_fit: int = Field(default=252, ge=10, description="Batch: rows before the first fit.")
    seed: int = 7


class Gate(Part):
    """What moves the champion alias. `evidence`: proof at alpha; `margin`: a mean loss that is smaller by a margin."""

    rule: Literal["evidence", "margin"] = "evidence"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    margin: float = Field(default=0.0, ge=0, description="rule: margin. In the unit of the loss.")
    block: int = Field(default=5, ge=1, description="Rows averaged into one bet, to take autocorrelation out.")
    min_rows: int = Field(default=60, ge=1, description="Rows that two contenders must have been compared on.")
    max_staleness: int | None = Field(
        default=None, ge=0, description="Calendar days; while the newest label is older, no alias moves."
    )
    probation: int = Field(
        default=63,
        ge=0,
        description="Rows after a change of champion in which the previous one may regain the alias at alpha.",
    )


class SourceOptions(Part):
    """What a source needs beyond its name. Which fields matter is the source's business."""

    location: str | None = Field(default=None, description="csv, parquet: a path or a URL.")
    date_column: str = "date"
    value_column: str = "value"
    symbol: str | None = Field(default=None, description="yahoo: the ticker, when it differs from the series.")


class Task(Part):
    """One file `tasks/NAME.yaml`: series, target, features, contenders, metric, gate."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    series: str = Field(pattern=r"^[A-Za-z0-9._^=-]+$")
    source: Literal["yahoo", "sample", "airline", "csv", "parquet"]
    source_options: SourceOptions = SourceOptions()
    fallback: Literal["none", "sample"] = "none"
    frequency: Literal["session", "month"]
    calendar: str | None = Field(default=None, description="session: the exchange whose sessions count, such as XNYS.")
    start: date = Field(description="The first date of history to ask a source for.")
    final_after_hours: float = Field(
        default=3.0, ge=0, description="A bar is final this long after its session's close."
    )
    stale_after_days: int = Field(
        default=5, ge=0, description="Calendar days after which served data are called stale."
    )
    target: Target
    features: tuple[Annotated[Feature, BeforeValidator(_feature)], ...] = Field(min_length=1)
    contenders: dict[str, Contender] = Field(min_length=1)
    baseline: str = Field(description="The contender that every other is measured against.")
    scored_from: int = Field(default=0, ge=0, description="Rows at the start that are predicted but not scored.")
    gate: Gate = Gate()

    @property
    def is_classification(self) -> bool:
        """Whether predictions are probabilities of UP."""
        return self.target.kind == "direction"

    @property
    def metric(self) -> Literal["brier", "mae"]:
        """The metric by which contenders are ordered: the mean of the loss that the gate compares row by row."""
        return "brier" if self.is_classification else "mae"

    @property
    def config_hash(self) -> str:
        """SHA-256 (16 hex digits) of the whole declaration."""
        return digest(self.model_dump(mode="json"))

    def contender_hash(self, name: str) -> str:
        """SHA-256 (16 hex digits) of what a contender's predictions depend on: target, features, its declaration."""
        declared = self.model_dump(
            mode="json", include={"target": {"kind"}, "features": True, "frequency": True, "calendar": True}
        )
        return digest({**declared, "contender": self.contenders[name].model_dump(mode="json")})

    @field_validator("contenders")
    @classmethod
    def _names(cls, contenders: dict[str, Contender]) -> dict[str, Contender]:
        for name in contenders:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(
                    f"contender {name!r}: use letters, digits, - and _ only (MLflow names take no / and no :)"
                )
        return contenders

    @model_validator(mode="after")
    def _consistent(self) -> "Task":
        if self.baseline not in self.contenders:
            raise ValueError(f"baseline {self.baseline!r} is not among the contenders: {', '.join(self.contenders)}")
        if self.frequency == "session" and not self.calendar:
            raise ValueError("frequency: session needs a calendar, such as XNYS")
        if self.source in ("csv", "parquet") and not self.source_options.location:
            raise ValueError(f"source: {self.source} needs source_options.location, a path or a URL")
        return self


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of a value's canonical JSON.

    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()[
        :16
    ]
