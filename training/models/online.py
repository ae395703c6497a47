"""Models that learn from rows as they are sent: River behind one protocol, whatever features a row has."""

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from features.arrays import FeatureRow

DEFAULT_SERIES = "default"
"""The series of a row that names none."""

# The numbers of a row that is learned add up to no more than this: beyond it, River's running variances overflow.
LARGEST = 1e100

# Series that one `PerSeries` follows: the memory for each is a few kilobytes, and never given back.
MOST_SERIES = 10_000

_CHECK_EVERY = 100  # values from one look whether the forecast is still finite to the next

TargetKind = Literal["value", "binary"]


class Online(Protocol):
    """A model that learns one row at a time. Predicting never changes it."""

    def predict(self, features: FeatureRow, series: str) -> float | None:
        """P(True) or the value; None while there is no prediction yet."""
        ...

    def learn(self, features: FeatureRow, target: float, series: str) -> None:
        """Learns one row. Raises ValueError, and is what it was, at one that it cannot take."""
        ...

    def forecast(self, features: FeatureRow, series: str, steps: int) -> list[float | None]:
        """The next `steps` values, the first of them equal to `predict`."""
        ...


class Regressor:
    """A River regressor. It forecasts recursively: the prediction of one step is `in_1` of the next, and so on."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows = 0

    def predict(self, features: FeatureRow, series: str) -> float | None:  # noqa: ARG002 (one model for all series)
        """The value; None before the first row, and where it would not be finite."""
        return _predicted(self.model.predict_one, features) if self.rows else None

    def learn(self, features: FeatureRow, target: float, series: str) -> None:  # noqa: ARG002
        """One `learn_one`."""
        _check_size(features, target)
        self.model.learn_one(features, target)
        self.rows += 1

    def forecast(self, features: FeatureRow, series: str, steps: int) -> list[float | None]:
        """Each step's prediction becomes `in_1`, the other lags move up by one."""
        return forecast_recursively(self, features, series, steps)


class Classifier:
    """A River classifier of two classes: 0 and 1.

    After n rows no probability is beyond 1 - 1/(n + 2), by Laplace's rule of succession. Trees and naive Bayes
    predict 0 or 1 outright, which costs log loss: on the Phishing data the bound takes that of a Hoeffding tree from
    0.64 to 0.40, of naive Bayes from 0.54 to 0.38, and leaves that of logistic regression as it is.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows = 0

    def predict(self, features: FeatureRow, series: str) -> float | None:  # noqa: ARG002
        """P(1); None before the first row."""
        if not self.rows:
            return None
        doubt = 1 / (self.rows + 2)
        predicted = _predicted(lambda row: self.model.predict_proba_one(row).get(True, 0.0), features)
        return None if predicted is None else min(max(predicted, doubt), 1 - doubt)

    def learn(self, features: FeatureRow, target: float, series: str) -> None:  # noqa: ARG002
        """One `learn_one`."""
        _check_size(features, target)
        self.model.learn_one(features, target > 0.5)
        self.rows += 1

    def forecast(self, features: FeatureRow, series: str, steps: int) -> list[float | None]:
        """The same P(1) for every step: a class has no next value to go on from."""
        return [self.predict(features, series)] * steps


class PerSeries:
    """A River forecaster for each series, which follows its targets and looks at no features.

    One that has run away (a division by zero, a forecast that is not finite) starts again with the next value.
    """

    def __init__(self, fresh: Any, values_needed: int, *, positive_only: bool = False) -> None:
        self.fresh = fresh
        self.values_needed = values_needed
        self.positive_only = positive_only
        self.series: dict[str, Any] = {}
        self.values: dict[str, int] = {}

    def predict(self, features: FeatureRow, series: str) -> float | None:
        """The next value of the series; None until there are enough to begin with."""
        return self.forecast(features, series, 1)[0]

    def learn(self, features: FeatureRow, target: float, series: str) -> None:  # noqa: ARG002
        """The series goes on with this value. Raises ValueError at one too many series, or a value it cannot follow."""
        _check_size({}, target)
        if self.positive_only and target <= 0:
            raise ValueError(f"a multiplicative season divides by values: {target} is not positive")
        if series not in self.series:
            if len(self.series) >= MOST_SERIES:
                raise ValueError(f"{series!r} would be one more than the {MOST_SERIES} series that are followed")
            self.series[series] = copy.deepcopy(self.fresh)
            self.values[series] = 0
        try:
            self.series[series].learn_one(target)
        except ArithmeticError:
            self._restart(series)
            raise
        self.values[series] += 1
        if self.values[series] % _CHECK_EVERY == 0 and self.predict({}, series) is None:
            self._restart(series)

    def forecast(self, features: FeatureRow, series: str, steps: int) -> list[float | None]:  # noqa: ARG002
        """The next `steps` values of the series."""
        if self.values.get(series, 0) < self.values_needed:
            return [None] * steps
        return [_finite(value) for value in self.series[series].forecast(horizon=steps)]

    def _restart(self, series: str) -> None:
        self.series[series] = copy.deepcopy(self.fresh)
        self.values[series] = 0


def forecast_recursively(model: Online, features: FeatureRow, series: str, steps: int) -> list[float | None]:
    """The prediction of a row, then of the row that this prediction would make the next one, and so on."""
    predicted: list[float | None] = []
    for _ in range(steps):
        value = model.predict(features, series)
        predicted.append(value)
        if value is None:
            break
        features = shifted(features, value)
    return predicted + [None] * (steps - len(predicted))


def shifted(features: Mapping[str, float], value: float) -> FeatureRow:
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


def _predicted(predict: Callable[[FeatureRow], float | None], features: FeatureRow) -> float | None:
    """A model's prediction; None where features are so far from all that it learned that its numbers overflow."""
    try:
        return _finite(predict(features))
    except OverflowError:
        return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _check_size(features: Mapping[str, float], target: float) -> None:
    """Raises ValueError at a row of numbers too large to square, or of none (NaN)."""
    size = abs(target) + sum(map(abs, features.values()))
    # `not <=` instead of `>`: a NaN is refused, too.
    if not size <= LARGEST:
        raise ValueError(f"the row's numbers add up to {size:g}, beyond {LARGEST:g}")
