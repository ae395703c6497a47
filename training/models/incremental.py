"""The incremental procedures: River's models, and what follows a series value by value, behind one protocol."""

import copy
import math
from collections import deque
from itertools import count, takewhile
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field

from core.errors import DataRefusedError
from features.arrays import Floats
from training.models.base import Incremental, Procedure, Shape
from training.models.river_params import HoltWintersParameters, LinearParameters, LogisticParameters, SnarimaxParameters


class Forecaster(Protocol):
    """Follows one series value by value."""

    def forecast(self) -> float:
        """The value after the last one learned; NaN when there is no forecast yet."""
        ...

    def learn(self, value: float) -> None:
        """Takes the next value of the series."""
        ...


class SeriesModel:
    """A forecaster behind the protocol of models.

    The lags in a row (`in_1` is the newest) tell its position in the series. Values that they hold and the
    forecaster has not seen are learned first, on a copy when predicting: so the first row brings the history before
    it, and a model that is a few values behind the row forecasts the row's target, not the one after its own last
    value. Lags are used only where the target is the value itself: otherwise labels and lags are different quantities.
    """

    def __init__(self, forecaster: Forecaster, shape: Shape) -> None:
        self.forecaster = forecaster
        lags = takewhile(shape.features.__contains__, (f"in_{n}" for n in count(1)))
        self.lag_columns = [shape.features.index(lag) for lag in lags] if shape.target == "value" else []
        self.newest_first: deque[float] = deque(maxlen=len(self.lag_columns))

    def predict(self, rows: Floats) -> Floats:
        """The forecast of each row's target."""
        return np.array([self._forecast(self._unseen(row)) for row in rows], dtype=np.float64)

    def learn(self, row: Floats, label: float) -> None:
        """Learns the label as the value that follows the row's lags."""
        for value in [*self._unseen(row), float(label)]:
            self.forecaster.learn(value)
            self.newest_first.appendleft(value)

    def _forecast(self, unseen: list[float]) -> float:
        # On a copy: predicting never changes a model.
        forecaster = copy.deepcopy(self.forecaster) if unseen else self.forecaster
        for value in unseen:
            forecaster.learn(value)
        forecast = float(forecaster.forecast())
        return forecast if math.isfinite(forecast) else math.nan

    def _unseen(self, row: Floats) -> list[float]:
        """The row's lags that came after the last value learned, oldest first."""
        lags: list[float] = row[self.lag_columns].tolist()
        known = list(self.newest_first)
        if not known:
            return lags[::-1]
        for missed in range(len(lags) // 2 + 1):
            overlap = min(len(known), len(lags) - missed)
            if lags[missed : missed + overlap] == known[:overlap]:
                return lags[:missed][::-1]
        # A restated past: lags that do not continue what was learned are skipped.
        return []


class Repeat:
    """Predicts the value of one season ago; with a season of 1, the last value."""

    def __init__(self, season: int) -> None:
        self.values: deque[float] = deque(maxlen=season)

    def forecast(self) -> float:
        """y[t] = y[t - season]."""
        return self.values[0] if len(self.values) == self.values.maxlen else math.nan

    def learn(self, value: float) -> None:
        """Keeps one season of values."""
        self.values.append(value)


class Growth:
    """Carries last season's step over to this one: y[t] = y[t - season] · y[t - 1] / y[t - 1 - season]."""

    def __init__(self, season: int) -> None:
        self.values: deque[float] = deque(maxlen=season + 1)

    def forecast(self) -> float:
        """The value of a season ago, grown as the last value has grown since its own season ago."""
        if len(self.values) < (self.values.maxlen or 0) or self.values[0] == 0:
            return math.nan
        return self.values[1] * self.values[-1] / self.values[0]

    def learn(self, value: float) -> None:
        """Keeps one season of values and one more."""
        self.values.append(value)


class RiverModel:
    """A River classifier or regressor, fed with one dict a row made of the feature names."""

    def __init__(self, model: Any, shape: Shape) -> None:
        self.model = model
        self.shape = shape
        self.labels = 0

    def predict(self, rows: Floats) -> Floats:
        """P(UP), or the value; NaN before the first label and wherever the model has run away to infinity."""
        if not self.labels:
            return np.full(len(rows), math.nan)
        values = np.array([self._predict_one(row) for row in rows.tolist()], dtype=np.float64)
        return np.where(np.isfinite(values), values, math.nan)

    def learn(self, row: Floats, label: float) -> None:
        """One `learn_one`."""
        features = dict(zip(self.shape.features, row.tolist(), strict=True))
        self.model.learn_one(features, label > 0.5 if self.shape.target == "direction" else label)
        self.labels += 1

    def _predict_one(self, row: list[float]) -> float:
        features = dict(zip(self.shape.features, row, strict=True))
        if self.shape.target == "direction":
            return float(self.model.predict_proba_one(features).get(True, math.nan))
        return float(self.model.predict_one(features))


class RiverForecaster:
    """A River forecaster. Its `forecast` is the value after the last one learned."""

    def __init__(self, model: Any, values_needed: int, *, positive_only: bool = False) -> None:
        self.model = model
        self.values_needed = values_needed
        self.positive_only = positive_only
        self.values = 0

    def forecast(self) -> float:
        """The next value; NaN until the first season is complete, where River would raise or guess."""
        return float(self.model.forecast(horizon=1)[0]) if self.values >= self.values_needed else math.nan

    def learn(self, value: float) -> None:
        """One `learn_one`. Raises DataRefusedError for a value that a multiplicative season would divide by."""
        if self.positive_only and value <= 0:
            raise DataRefusedError(
                f"A multiplicative Holt-Winters model was given {value}; it can only follow positive values.",
                "Write `multiplicative: false` in the task file.",
            )
        self.model.learn_one(value)
        self.values += 1


class IncrementalProcedure(Procedure):
    """A procedure whose model learns each row once."""

    kind: ClassVar[Literal["incremental"]] = "incremental"


class RiverLogisticRegression(LogisticParameters, IncrementalProcedure):
    """Scaler | LogisticRegression, by stochastic gradient descent."""

    targets: ClassVar[frozenset[str]] = frozenset({"direction"})

    def make(self, shape: Shape) -> Incremental:
        """Weights of zero."""
        return RiverModel(self.pipeline(), shape)


class RiverLinearRegression(LinearParameters, IncrementalProcedure):
    """Scaler | TargetStandardScaler(LinearRegression), by stochastic gradient descent."""

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    l2: float = Field(default=0.0, ge=0)

    def make(self, shape: Shape) -> Incremental:
        """Weights of zero."""
        return RiverModel(self.pipeline(l2=self.l2), shape)


class RiverHoltWinters(HoltWintersParameters, IncrementalProcedure):
    """Exponential smoothing of level, trend and season."""

    looks_at_features: ClassVar[bool] = False
    targets: ClassVar[frozenset[str]] = frozenset({"value"})

    def make(self, shape: Shape) -> Incremental:
        """No value seen yet."""
        return SeriesModel(RiverForecaster(self.forecaster(), self.season, positive_only=self.multiplicative), shape)


class RiverSnarimax(SnarimaxParameters, IncrementalProcedure):
    """Seasonal ARIMA by an online regression on lags and past errors."""

    looks_at_features: ClassVar[bool] = False
    targets: ClassVar[frozenset[str]] = frozenset({"value"})

    def make(self, shape: Shape) -> Incremental:
        """No value seen yet."""
        return SeriesModel(RiverForecaster(self.forecaster(), self.values_needed), shape)
