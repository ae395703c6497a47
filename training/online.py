"""Models that learn from rows as they are sent: River behind one protocol, whatever features a row has."""

import copy
import math
from collections.abc import Mapping
from typing import Any, Protocol

from training.events import Features

DEFAULT_SERIES = "default"
"""The series of a row that names none."""


class Online(Protocol):
    """A model that learns one row at a time. Predicting never changes it."""

    def predict(self, features: Features, series: str) -> float | None:
        """P(True) or the value; None while there is no prediction yet."""
        ...

    def learn(self, features: Features, target: float, series: str) -> None:
        """Learns one row."""
        ...

    def forecast(self, features: Features, series: str, steps: int) -> list[float | None]:
        """The next `steps` values, the first of them what `predict` says."""
        ...


class Regressor:
    """A River regressor. It forecasts recursively: what it says of one step is `in_1` of the next, and so on."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows = 0

    def predict(self, features: Features, series: str) -> float | None:  # noqa: ARG002 (one model for all series)
        """The value; None before the first row, and where the model has run away to infinity."""
        return _finite(self.model.predict_one(features)) if self.rows else None

    def learn(self, features: Features, target: float, series: str) -> None:  # noqa: ARG002
        """One `learn_one`."""
        self.model.learn_one(features, target)
        self.rows += 1

    def forecast(self, features: Features, series: str, steps: int) -> list[float | None]:
        """Each step's prediction becomes `in_1`, the other lags move up by one."""
        said: list[float | None] = []
        for _ in range(steps):
            value = self.predict(features, series)
            said.append(value)
            if value is None:
                break
            features = shifted(features, value)
        return said + [None] * (steps - len(said))


class Classifier:
    """A River classifier of two classes: 0 and 1."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows = 0

    def predict(self, features: Features, series: str) -> float | None:  # noqa: ARG002
        """P(1); None before the first row."""
        return _finite(self.model.predict_proba_one(features).get(True, 0.0)) if self.rows else None

    def learn(self, features: Features, target: float, series: str) -> None:  # noqa: ARG002
        """One `learn_one`."""
        self.model.learn_one(features, target > 0.5)
        self.rows += 1

    def forecast(self, features: Features, series: str, steps: int) -> list[float | None]:
        """The same P(1) for every step: a class has no next value to go on from."""
        return [self.predict(features, series)] * steps


class PerSeries:
    """A River forecaster for each series, which follows its targets and looks at no features."""

    def __init__(self, fresh: Any, values_needed: int) -> None:
        self.fresh = fresh
        self.values_needed = values_needed
        self.series: dict[str, Any] = {}
        self.values: dict[str, int] = {}

    def predict(self, features: Features, series: str) -> float | None:
        """The next value of the series; None until there are enough to begin with."""
        return self.forecast(features, series, 1)[0]

    def learn(self, features: Features, target: float, series: str) -> None:  # noqa: ARG002
        """The series goes on with this value."""
        if series not in self.series:
            self.series[series] = copy.deepcopy(self.fresh)
            self.values[series] = 0
        self.series[series].learn_one(target)
        self.values[series] += 1

    def forecast(self, features: Features, series: str, steps: int) -> list[float | None]:  # noqa: ARG002
        """The next `steps` values of the series."""
        if self.values.get(series, 0) < self.values_needed:
            return [None] * steps
        return [_finite(value) for value in self.series[series].forecast(horizon=steps)]


def shifted(features: Mapping[str, float], value: float) -> Features:
    """The features one step later, when `value` came: `in_1` is the value, `in_2` what `in_1` was, and so on.

    >>> shifted({"in_1": 1.0, "in_2": 2.0, "month": 4.0}, 9.0)
    {'in_1': 9.0, 'in_2': 1.0, 'month': 4.0}
    """
    later = dict(features)
    lag = 1
    while f"in_{lag + 1}" in features and f"in_{lag}" in features:
        later[f"in_{lag + 1}"] = features[f"in_{lag}"]
        lag += 1
    later["in_1"] = value
    return later


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
