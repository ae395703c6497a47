"""The use case, without HTTP: the champion's prediction of the latest data, and the answer that a client gets."""

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
"""`mlflow`: MLflow's alias names this version. `last-good copy`: MLflow did not answer, or names none."""


class NoPredictionError(ContenderError):
    """A champion that cannot predict yet: Holt-Winters before its first season, a cold forest."""


class NoThresholdError(ContenderError):
    """A threshold in a request to a task that predicts a number."""


@dataclass(frozen=True)
class Champion:
    """A loaded champion version.

    Attributes:
        feature_names: the features that the model takes, in their order.
        source: what says that it is champion.
        learner: the learner that the version was made of, and that has gone on learning; it answers in its place.
        last_event_id: the newest event that the model that answers has learned; None where that is not known, or none.
    """

    version: Version
    feature_names: tuple[str, ...]
    model: "Model" = field(compare=False)
    source: ModelSource
    learner: "Model | None" = field(default=None, compare=False)
    last_event_id: int | None = None


@dataclass(frozen=True)
class Latest:
    """The newest feature row of a task, with the series it is of and the hash of the data it was computed from."""

    row: DatasetRow
    series: str
    source: str
    data_hash: str


@dataclass(frozen=True)
class Answer:
    """The answer to a client. `confidence` is P(UP); it and `threshold` are None where a number is predicted."""

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
        """The fields of the JSON answer: dates in ISO form, no nulls."""
        return {
            name: value.isoformat() if isinstance(value, date) else value
            for name, value in asdict(self).items()
            if value is not None
        }


@dataclass(frozen=True)
class ServedPrediction:
    """A champion, the data it predicts from, and its prediction: computed once, answered from many times."""

    task: Task
    champion: Champion
    latest: Latest
    value: float | None
    beats_baseline: str
    # Here and not in `serving.http.responses`, which fills it: a cache that goes with its prediction is never stale.
    replies: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    def answer(self, threshold: float | None, today: date) -> Answer:
        """The answer on a day, for a threshold (None: the task's own).

        Raises:
            NoPredictionError: the model gave no value.
            NoThresholdError: a threshold for a task that predicts a number.
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


def predict_latest(task: Task, champion: Champion, latest: Latest, beats_baseline: str) -> ServedPrediction:
    """Computes the champion's one prediction of the latest data. Raises DataRefusedError when the two do not fit."""
    # Arrays have no column names: with other features in these columns the model would predict nonsense, silently.
    if champion.feature_names != tuple(latest.row.features):
        raise DataRefusedError(
            f"Version {champion.version.version} of {task.name!r} takes other features than the task declares now.",
            f"Run `contender run {task.name}`: it trains contenders on the new ones.",
        )
    (value,) = predict(champion.learner or champion.model, [list(latest.row.features.values())])
    if value is not None and task.is_classification and not 0 <= value <= 1:
        raise DataRefusedError(f"The model gave {value} instead of a probability.")
    return ServedPrediction(task, champion, latest, value, beats_baseline)
