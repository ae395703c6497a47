"""Parts for River's pipelines that stay stable on streams for which no parameter was tuned.

Importing this imports River: import it only where a model is made or unpickled.
"""

from operator import mul
from typing import Any

from river import base, ensemble, linear_model, stats
from river.utils import VectorDict


class Scaler(base.Transformer):  # type: ignore[misc]
    """River's StandardScaler, to the bit, in half the time; predicting adds no feature to it.

    `moments` has of each feature: how often it came, its mean, its variance (Welford's method), and that one's root.
    """

    def __init__(self) -> None:
        self.moments: dict[str, list[float]] = {}

    def learn_one(self, x: dict[str, float]) -> None:
        """The running moments."""
        self.learn_transform_one(x)

    def learn_transform_one(self, x: dict[str, float]) -> dict[str, float]:
        """`learn_one`, then `transform_one`, in one pass."""
        moments = self.moments
        scaled = {}
        for name, value in x.items():
            try:
                held = moments[name]
            except KeyError:
                held = moments[name] = [0, 0.0, 0.0, 0.0]
            count, mean, variance, _ = held
            count += 1
            before = value - mean
            mean += before / count
            after = value - mean
            variance += (before * after - variance) / count
            deviation = variance**0.5
            held[0] = count
            held[1] = mean
            held[2] = variance
            held[3] = deviation
            scaled[name] = after / deviation if deviation else 0.0
        return scaled

    def transform_one(self, x: dict[str, float]) -> dict[str, float]:
        """(value - mean) / standard deviation; 0 for a feature that was never learned or never varied."""
        moments = self.moments
        scaled = {}
        for name, value in x.items():
            try:
                _, mean, _, deviation = moments[name]
            except KeyError:
                scaled[name] = 0.0
            else:
                scaled[name] = (value - mean) / deviation if deviation else 0.0
        return scaled


class SteadyRegression(linear_model.LinearRegression):  # type: ignore[misc]
    """Linear regression by stochastic gradient descent whose steps never go beyond the row's own target.

    One step changes the prediction of its own row by 2 · rate · (1 + |x|²) of the error. Above 1 that overshoots, and
    above 2 the weights run away: with River's rate of 0.01, from a hundred scaled features on, or a few whose values
    lie far out. Such a row weighs less, so that the step ends at its target (normalised least mean squares).
    """

    def learn_one(self, x: dict[str, float], y: float, w: float = 1.0) -> None:
        """One step. Where it would not overshoot, it is River's, to the bit."""
        optimizer = self.optimizer
        rate = optimizer.learning_rate
        values = x.values()
        reach = 2 * rate * (1 + sum(map(mul, values, values)))
        if reach > 1:
            w /= reach
        if self.l1:
            super().learn_one(x, y, w)
            return
        # As GLM.learn_one does it with a squared loss, SGD, and a view on this row's weights: a third of the calls.
        weights = VectorDict(self._weights, self.initializer, x)
        slope = 2 * (weights.dot(x) + self.intercept - y) * w
        slope = max(-self.clip_gradient, min(slope, self.clip_gradient))
        self.intercept -= self.intercept_lr.get(optimizer.n_iterations) * slope
        gradient = VectorDict.from_scaled(x, slope)
        if self.l2:
            gradient.iadd_scaled(weights, self.l2)
        weights.isub_scaled(gradient, rate)
        optimizer.n_iterations += 1


class ScaledRegression:
    """Scaler | TargetStandardScaler(regression), to the bit, without the work that River's pipeline does on its own."""

    def __init__(self, regression: Any) -> None:
        self.scaler = Scaler()
        self.target = stats.Var()
        self.regression = regression
        self._mean = self._deviation = 0.0

    def learn_one(self, x: dict[str, float], y: float) -> None:
        """One step, on the row and its target scaled by what came so far, this row included."""
        row = self.scaler.learn_transform_one(x)
        self.target.update(y)
        self._mean = mean = self.target.mean.get()
        self._deviation = deviation = self.target.get() ** 0.5
        self.regression.learn_one(row, (y - mean) / deviation if deviation else 0.0)

    def predict_one(self, x: dict[str, float]) -> float:
        """The value."""
        value: float = self.regression.predict_one(self.scaler.transform_one(x)) * self._deviation + self._mean
        return value


class Bag(ensemble.BaggingRegressor):  # type: ignore[misc]
    """River's bagging, each of whose members learns the first row: before that, a member predicts 0."""

    has_begun = False

    def learn_one(self, x: dict[str, float], y: float, **more: Any) -> None:
        """The first row once for each member; every other as often as drawn from a Poisson distribution of mean 1."""
        if self.has_begun:
            super().learn_one(x, y, **more)
            return
        self.has_begun = True
        for model in self:
            model.learn_one(x, y, **more)
