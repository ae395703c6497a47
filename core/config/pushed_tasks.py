"""Tasks whose rows are pushed over HTTP: the fields of a row, how it is validated, and the contenders that learn."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.config.tasks import Parameter, Part, digest


class PushedTarget(Part):
    """What is predicted: a `value`, or a yes or no (`binary`: 1 or 0)."""

    kind: Literal["value", "binary"]
    minimum: float | None = Field(default=None, description="A smaller target is quarantined.")
    maximum: float | None = Field(default=None, description="A larger target is quarantined.")


class Input(Part):
    """A declared feature: its range, and whether every row must have it."""

    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


class OnlineContender(Part):
    """A procedure that learns from rows as they come, its parameters, and how large its model may grow."""

    procedure: str
    parameters: dict[str, Parameter] = Field(default={})
    seed: int = 7


class Guard(Part):
    """The outlier guard: a number too far from what came before is quarantined, not learned.

    A feature or target is refused when it lies more than `deviations` standard deviations from the running mean of
    its own values, once `min_rows` of them were learned. 0 deviations: no guard.
    """

    deviations: float = Field(default=10.0, ge=0)
    min_rows: int = Field(default=50, ge=2)


class Checkpointing(Part):
    """How often a learner is stored: after so many events, or so many seconds when there were any."""

    events: int = Field(default=1000, ge=1)
    seconds: float = Field(default=10.0, gt=0)


class PushedTask(Part):
    """One file `tasks/NAME.yaml` with `source: pushed`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    source: Literal["pushed"]
    target: PushedTarget
    contenders: dict[str, OnlineContender] = Field(min_length=1)
    serves: str = Field(description="The contender that learns and answers, unless MODEL_NAME names another.")
    inputs: dict[str, Input] = Field(default={}, description="Declared features; none: whatever is sent.")
    others: Literal["accept", "refuse"] = Field(default="accept", description="Features that are not declared.")
    guard: Guard = Guard()
    checkpoint: Checkpointing = Checkpointing()
    budget_megabytes: float = Field(default=32.0, gt=0, description="A larger model stops learning, and serves on.")

    @field_validator("contenders")
    @classmethod
    def _names(cls, contenders: dict[str, OnlineContender]) -> dict[str, OnlineContender]:
        for name in contenders:
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"contender {name!r}: use letters, digits, - and _ only")
        return contenders

    @model_validator(mode="after")
    def _consistent(self) -> "PushedTask":
        if self.serves not in self.contenders:
            raise ValueError(f"serves {self.serves!r} is not among the contenders: {', '.join(self.contenders)}")
        return self

    @property
    def config_hash(self) -> str:
        """SHA-256 (16 hex digits) of the whole declaration."""
        return digest(self.model_dump(mode="json"))

    def contender_hash(self, name: str) -> str:
        """SHA-256 (16 hex digits) of what a contender's predictions depend on: the kind of target, its declaration."""
        return digest({"target": self.target.kind, "contender": self.contenders[name].model_dump(mode="json")})
