"""The incremental procedures: River's models behind the protocol that all contenders share."""

import math
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from core.errors import DataRefusedError
from training.forecasters import SeriesModel
from training.procedures import Floats, Incremental, Procedure, Shape


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


class RiverLogisticRegression(IncrementalProcedure):
    """StandardScaler | LogisticRegression, by stochastic gradient descent."""

    targets: ClassVar[frozenset[str]] = frozenset({"direction"})
    learning_rate: float = Field(default=0.005, gt=0)
    intercept_learning_rate: float = Field(default=0.01, gt=0)
    l2: float = Field(default=0.0, ge=0)

    def make(self, shape: Shape) -> Incremental:
        """Weights of zero."""
        from river import linear_model, optim, preprocessing

        regression = linear_model.LogisticRegression(
            optimizer=optim.SGD(self.learning_rate), l2=self.l2, intercept_lr=self.intercept_learning_rate
        )
        return RiverModel(preprocessing.StandardScaler() | regression, shape)


class RiverLinearRegression(IncrementalProcedure):
    """StandardScaler | LinearRegression, by stochastic gradient descent.

    The target is scaled as well (TargetStandardScaler): a learning rate then means the same whatever the unit.
    """

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    learning_rate: float = Field(default=0.01, gt=0)
    l2: float = Field(default=0.0, ge=0)

    def make(self, shape: Shape) -> Incremental:
        """Weights of zero."""
        from river import linear_model, optim, preprocessing

        regression = linear_model.LinearRegression(optimizer=optim.SGD(self.learning_rate), l2=self.l2)
        return RiverModel(preprocessing.StandardScaler() | preprocessing.TargetStandardScaler(regression), shape)


class RiverHoltWinters(IncrementalProcedure):
    """Exponential smoothing of level, trend and season."""

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    alpha: float = Field(default=0.3, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, lt=1)
    gamma: float = Field(default=0.6, gt=0, lt=1)
    season: int = Field(default=12, ge=2)
    multiplicative: bool = False

    def make(self, shape: Shape) -> Incremental:
        """No value seen yet."""
        from river.time_series import HoltWinters

        model = HoltWinters(self.alpha, self.beta, self.gamma, self.season, self.multiplicative)
        return SeriesModel(RiverForecaster(model, self.season, positive_only=self.multiplicative), shape)


class RiverSnarimax(IncrementalProcedure):
    """Seasonal ARIMA by an online regression (StandardScaler | LinearRegression) on lags and past errors.

    River's own learning rate, 0.01, makes the weights of two dozen lags run away on a series that grows: ours is lower.
    """

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    p: int = Field(default=1, ge=0)
    d: int = Field(default=0, ge=0, le=2)
    q: int = Field(default=0, ge=0)
    m: int = Field(default=1, ge=1)
    sp: int = Field(default=0, ge=0)
    sd: int = Field(default=0, ge=0, le=2)
    sq: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=0.003, gt=0)

    @model_validator(mode="after")
    def _has_terms(self) -> "RiverSnarimax":
        if not self.p + self.q + self.sp + self.sq + self.d + self.sd:
            raise ValueError("give at least one of p, q, sp, sq, d, sd")
        return self

    def make(self, shape: Shape) -> Incremental:
        """No value seen yet."""
        from river import linear_model, optim, preprocessing
        from river.time_series import SNARIMAX

        regression = linear_model.LinearRegression(optimizer=optim.SGD(self.learning_rate))
        orders = self.model_dump(exclude={"learning_rate"})
        model = SNARIMAX(**orders, regressor=preprocessing.StandardScaler() | regression)
        return SeriesModel(RiverForecaster(model, max(1, model.differencer.n_required_past_values)), shape)
