"""The use case, without HTTP: what the champion says of the latest data, and the answer a client gets of it."""

from dataclasses import asdict, dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from core.config.tasks import Task
from core.errors import ContenderError, DataRefusedError
from features.dataset import DatasetRow
from training.registry.versions import Version

if TYPE_CHECKING:
    from training.models.catalog import Model

ALIAS = "champion"

ModelSource = Literal["mlflow", "last-good copy"]
"""`mlflow`: the registry's alias names this version. `last-good copy`: it could not be asked, or names none."""


class NoPredictionError(ContenderError):
    """A champion that cannot predict yet: Holt-Winters before its first season, a cold forest."""


class NoThresholdError(ContenderError):
    """A threshold that is asked for where none applies: a number is predicted."""


@dataclass(frozen=True)
class Champion:
    """A loaded model, the features it takes in their order, its version, and who says that it is champion.

    `live` is the learner that the version was made of, and that has gone on learning: it answers in the version's
    place. `last_event_id` is the newest event that whoever answers has learned; None where that is not known, or none.
    """

    version: Version
    feature_names: tuple[str, ...]
    model: "Model" = field(compare=False)
    source: ModelSource
    live: "Model | None" = field(default=None, compare=False)
    last_event_id: int | None = None


@dataclass(frozen=True)
class Latest:
    """The newest feature row of a task: `as_of` says of which data, `data_hash` of which exactly."""

    row: DatasetRow
    series: str
    source: str
    data_hash: str


@dataclass(frozen=True)
class Answer:
    """What a client is told. `confidence` is P(UP); it and `threshold` are None where a number is predicted."""

    prediction: str | float
    confidence: float | None
    threshold: float | None
    model_source: ModelSource
    model_alias: str
    model_name: str
    model_version: int
    contender: str
    as_of: date
    target_date: date
    data_source: str
    data_age_days: int
    stale: bool
    beats_baseline: str
    last_event_id: int | None

    def fields(self) -> dict[str, Any]:
        """The fields as they go out: dates in ISO form; absent what the task has not."""
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class ServedPrediction:
    """A champion, the data it looks at, and its prediction of them: computed once, answered from many times.

    `replies` keeps what `serving.http.responses` made of it: it goes when the standing goes, so nothing in it can be
    old.
    """

    task: Task
    champion: Champion
    latest: Latest
    value: float | None
    beats_baseline: str
    replies: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def answer(self, threshold: float | None, today: date) -> Answer:
        """The answer on a day, for a threshold (None: the task's own).

        Raises NoPredictionError when the model gave no value, NoThresholdError for a threshold where none applies.
        """
        if self.value is None:
            raise NoPredictionError(
                f"{self.champion.version.contender}, the champion of {self.task.name!r}, has not learned enough to "
                "predict yet.",
                "It will when it has; until then, move the alias to another version.",
            )
        confidence: float | None = None
        prediction: str | float = self.value
        if self.task.is_classification:
            confidence, threshold = self.value, self.task.target.threshold if threshold is None else threshold
            prediction = "UP" if confidence >= threshold else "DOWN"
        elif threshold is not None:
            raise NoThresholdError(
                f"The task {self.task.name!r} predicts a number, which no threshold can decide.",
                "Leave `threshold` out.",
            )
        row, version = self.latest.row, self.champion.version
        age = (today - row.event_date).days
        return Answer(
            prediction=prediction,
            confidence=confidence,
            threshold=threshold,
            model_source=self.champion.source,
            model_alias=ALIAS,
            model_name=self.task.name,
            model_version=version.version,
            contender=version.contender,
            as_of=row.event_date,
            target_date=row.target_date,
            data_source=self.latest.source,
            data_age_days=age,
            stale=age > self.task.stale_after_days,
            beats_baseline=self.beats_baseline,
            last_event_id=self.champion.last_event_id,
        )


def predict(model: "Model", features: list[list[float]]) -> list[float | None]:
    """The model's values for rows of features; None where it has no prediction yet."""
    import numpy as np

    values = np.asarray(model.predict(np.asarray(features, dtype=np.float64)), dtype=np.float64)
    if values.shape != (len(features),):
        raise DataRefusedError(f"The model returned the shape {values.shape} for {len(features)} rows.")
    return [float(value) if np.isfinite(value) else None for value in values]


def stand(task: Task, champion: Champion, latest: Latest, beats_baseline: str) -> ServedPrediction:
    """Computes the champion's one prediction of the latest data. Raises DataRefusedError when the two do not fit."""
    if champion.feature_names != tuple(latest.row.features):
        raise DataRefusedError(
            f"Version {champion.version.version} of {task.name!r} takes other features than the task declares now.",
            f"Run `contender run {task.name}`: it trains contenders on the new ones.",
        )
    (value,) = predict(champion.live or champion.model, [list(latest.row.features.values())])
    if value is not None and task.is_classification and not 0 <= value <= 1:
        raise DataRefusedError(f"The model gave {value} where a probability is due.")
    return ServedPrediction(task, champion, latest, value, beats_baseline)
