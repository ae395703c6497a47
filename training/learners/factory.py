"""New learners: of tasks with a stored source (`stored_…`) and of tasks whose rows are pushed (`pushed_…`)."""

import math
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from core.config.pushed_tasks import PushedTask
from core.config.tasks import Task
from core.errors import ConfigurationError
from features.arrays import FeatureRow, Floats
from training.event_log import dataset_log
from training.event_log.store import LearnerKey
from training.learners.learner import Learner
from training.models.base import Batch, Incremental, Shape
from training.models.catalog import make, shape
from training.models.online import forecast_recursively
from training.models.task_check import chosen, procedure


class StoredModel:
    """A model of a task with a stored source, which takes arrays, fed with the features of events; None for NaN."""

    def __init__(self, model: Incremental, shape: Shape) -> None:
        self.model = model
        self.shape = shape

    def predict(self, features: FeatureRow, series: str) -> float | None:  # noqa: ARG002 (a log holds one series)
        """P(UP) or the value; None while there is no prediction yet."""
        value = float(self.model.predict(self._row(features))[0])
        return value if math.isfinite(value) else None

    def learn(self, features: FeatureRow, target: float, series: str) -> None:  # noqa: ARG002
        """Learns one row."""
        self.model.learn(self._row(features)[0], target)

    def forecast(self, features: FeatureRow, series: str, steps: int) -> list[float | None]:
        """Values by recursion; of a direction the same P(UP) for every step, for a class is no lag of the next."""
        if self.shape.target == "direction":
            return [self.predict(features, series)] * steps
        return forecast_recursively(self, features, series, steps)

    def _row(self, features: FeatureRow) -> Floats:
        return np.array([[features[name] for name in self.shape.features]], dtype=np.float64)


def learns(task: Task, contender: str) -> bool:
    """Whether a contender learns row by row: all but those that are refitted."""
    return task.contenders[contender].kind != "batch"


def stored_learner_key(task: Task, series: str, contender: str) -> LearnerKey:
    """The key of a contender's learner, as it is declared now, on the log of the series."""
    return LearnerKey(dataset_log.name(task, series), contender, task.contender_hash(contender))


def stored_learner_factory(task: Task, contender: str) -> Callable[[], Learner]:
    """Makes learners that have learned nothing."""

    def begin() -> Learner:
        model = make(task, contender)
        assert not isinstance(model, Batch), contender  # noqa: S101 (`learns`)
        return Learner(StoredModel(model, shape(task, contender)), "binary" if task.is_classification else "value")

    return begin


def stored_model(learner: Learner) -> StoredModel:
    """The model of a learner that `stored_learner_factory` made."""
    assert isinstance(learner.model, StoredModel), "a learner of rows"  # noqa: S101
    return learner.model


def canonical(learner: Learner) -> bytes:
    """A learner's bytes after a round trip, for the reason that `serialize` of `models/base.py` has."""
    return Learner.deserialize(learner.serialize()).serialize()


def pushed_learner_key(task: PushedTask, contender: str) -> LearnerKey:
    """The key of a contender's learner, as it is declared now."""
    return LearnerKey(task.name, contender, task.contender_hash(contender))


def task_declaring(task: PushedTask, key: LearnerKey) -> PushedTask | None:
    """The task with the contender declared as the key has it; None when it is declared otherwise, or not at all."""
    with suppress(ConfigurationError):
        task, _ = chosen(task, key.contender)
    is_so = key.contender in task.contenders and pushed_learner_key(task, key.contender) == key
    return task if is_so else None


def pushed_learner_factory(task: PushedTask, key: LearnerKey) -> Callable[[], Learner]:
    """Makes learners that have learned nothing.

    The call of what is returned raises ConfigurationError when the contender is no longer declared as the key has it.
    """

    def make() -> Learner:
        declared = task_declaring(task, key)
        if declared is None:
            raise ConfigurationError(
                f"{key.contender} of {key.log} is no longer declared as when it learned, and its checkpoint is "
                "of other libraries.",
                "Restore that declaration, or go back to the libraries that it was made with.",
            )
        outcome, seed = task.target.kind, declared.contenders[key.contender].seed
        return Learner(procedure(declared, key.contender).online(outcome, seed), outcome)

    return make
