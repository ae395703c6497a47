"""The incremental procedures: River's models behind the protocol that all contenders share."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.errors import DataRefusedError
from features.arrays import Floats
from training.models.base import Incremental, Procedure, Shape
from training.models.forecasters import SeriesModel
from training.models.river_params import HoltWintersParameters, LinearParameters, LogisticParameters, SnarimaxParameters


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
    """A River forecaster. Its `forecast` speaks of the value after the last one learned."""

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
