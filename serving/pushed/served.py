"""Who answers for a pushed task: the learner that learns, or one that was frozen when a version was made of it."""

import threading
from dataclasses import dataclass
from typing import Literal, Protocol

from features.arrays import FeatureRow
from training.learners.learner import Learner
from training.models.online import DEFAULT_SERIES


class Answering(Protocol):
    """What can be asked."""

    @property
    def learner(self) -> Learner:
        """The learner behind the answers."""
        ...

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """What it says of a row; nothing is kept of it."""
        ...

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        ...


class FrozenLearner:
    """A learner as it stood at the checkpoint of a version. It learns nothing any more."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._lock = threading.Lock()

    def predict(self, features: FeatureRow, series: str | None) -> float | None:
        """What it says of a row."""
        with self._lock:
            return self.learner.ask(features, series or DEFAULT_SERIES)

    def forecast(self, features: FeatureRow, series: str | None, steps: int) -> list[float | None]:
        """The next `steps` values."""
        with self._lock:
            return self.learner.model.forecast(features, series or DEFAULT_SERIES, steps)


@dataclass(frozen=True)
class ServedModel:
    """Who answers, and the version in MLflow that it is (`frozen`) or was last registered as (`live`; None: never)."""

    mode: Literal["live", "frozen"]
    version: int | None
    answering: Answering

    @property
    def last_event_id(self) -> int:
        """The event up to which it has learned."""
        return self.answering.learner.seq


@dataclass(frozen=True)
class Choice:
    """What the champion alias of a task asks for. `frozen` None: the live learner answers."""

    version: int | None = None
    frozen: FrozenLearner | None = None


@dataclass
class Chosen:
    """The choice that was made last; None before the first. It is exchanged as a whole."""

    held: Choice | None = None
