"""River's models with their parameters, declared once for the procedures on rows of a task and for those on events.

River itself is imported when a model is made, not when a task file is read.
"""

from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from core.config.tasks import Part


class Parameters(Part):
    """The parameters of a model in a task file. `is_steady`: steps are bounded, see SteadyRegression."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    is_steady: ClassVar[bool] = False

    def sgd(self, learning_rate: float, **penalty: float) -> Any:
        """A linear regression with weights of zero. Declared rates are for scaled features."""
        from river import linear_model, optim

        from training.models.river_ext import SteadyRegression

        if not self.is_steady:
            return linear_model.LinearRegression(optim.SGD(learning_rate), **penalty)
        return SteadyRegression(optim.SGD(learning_rate), intercept_lr=learning_rate, **penalty)


class LogisticParameters(Parameters):
    """Logistic regression by stochastic gradient descent."""

    learning_rate: float = Field(default=0.005, gt=0)
    intercept_learning_rate: float = Field(default=0.01, gt=0)
    l2: float = Field(default=0.0, ge=0)

    def pipeline(self) -> Any:
        """Scaler | LogisticRegression, with weights of zero."""
        from river import linear_model, optim

        from training.models.river_ext import Scaler

        regression = linear_model.LogisticRegression(
            optimizer=optim.SGD(self.learning_rate), l2=self.l2, intercept_lr=self.intercept_learning_rate
        )
        return Scaler() | regression


class LinearParameters(Parameters):
    """Linear regression by stochastic gradient descent.

    The target is scaled as well (TargetStandardScaler): a learning rate then means the same whatever the unit.
    """

    learning_rate: float = Field(default=0.01, gt=0)

    def pipeline(self, **penalty: float) -> Any:
        """Scaler | TargetStandardScaler(LinearRegression), with weights of zero."""
        from training.models.river_ext import ScaledRegression

        return ScaledRegression(self.sgd(self.learning_rate, **penalty))


class HoltWintersParameters(Parameters):
    """Exponential smoothing of level, trend and season."""

    alpha: float = Field(default=0.3, gt=0, lt=1)
    beta: float = Field(default=0.1, gt=0, lt=1)
    gamma: float = Field(default=0.6, gt=0, lt=1)
    season: int = Field(default=12, ge=2)
    multiplicative: bool = False

    def forecaster(self) -> Any:
        """No value seen yet; it needs a season of them."""
        from river.time_series import HoltWinters

        return HoltWinters(self.alpha, self.beta, self.gamma, self.season, self.multiplicative)


class SnarimaxParameters(Parameters):
    """Seasonal ARIMA by an online regression (Scaler | LinearRegression) on lags and past errors."""

    p: int = Field(default=1, ge=0)
    d: int = Field(default=0, ge=0, le=2)
    q: int = Field(default=0, ge=0)
    m: int = Field(default=1, ge=1)
    sp: int = Field(default=0, ge=0)
    sd: int = Field(default=0, ge=0, le=2)
    sq: int = Field(default=0, ge=0)
    # River's own rate, 0.01, makes the weights of two dozen lags run away on a series that grows: on airline to 1e12.
    learning_rate: float = Field(default=0.003, gt=0)

    @model_validator(mode="after")
    def _has_terms(self) -> "SnarimaxParameters":
        if not self.p + self.q + self.sp + self.sq + self.d + self.sd:
            raise ValueError("give at least one of p, q, sp, sq, d, sd")
        return self

    def forecaster(self) -> Any:
        """No value seen yet; it needs as many as `values_needed`."""
        from river.time_series import SNARIMAX

        from training.models.river_ext import Scaler

        orders = self.model_dump(exclude={"learning_rate"})
        return SNARIMAX(**orders, regressor=Scaler() | self.sgd(self.learning_rate))

    @property
    def values_needed(self) -> int:
        """Values that differencing looks back on, at least one."""
        return max(1, self.d + self.m * self.sd)
