"""Parts for River's pipelines that keep their word on a stream which nobody tuned them for.

Importing this imports River: only what makes or unpickles a model does.
"""

from operator import mul
from typing import Any

from river import ensemble, linear_model, preprocessing, stats


class Scaler(preprocessing.StandardScaler):  # type: ignore[misc]
    """River's StandardScaler, to the bit, but it does not remember a feature that was only asked about."""

    def learn_one(self, x: dict[str, float]) -> None:
        """The running means and variances (Welford's method), each looked up once where River looks twice."""
        counts, means, variances = self.counts, self.means, self.vars
        for name, value in x.items():
            count = counts[name] = counts[name] + 1
            before = value - means[name]
            mean = means[name] = means[name] + before / count
            variance = variances[name]
            variances[name] = variance + (before * (value - mean) - variance) / count

    def learn_transform_one(self, x: dict[str, float]) -> dict[str, float]:
        """`learn_one`, then `transform_one`, in one pass."""
        counts, means, variances = self.counts, self.means, self.vars
        scaled = {}
        for name, value in x.items():
            count = counts[name] = counts[name] + 1
            before = value - means[name]
            mean = means[name] = means[name] + before / count
            after = value - mean
            variance = variances[name]
            variance = variances[name] = variance + (before * after - variance) / count
            scaled[name] = after / variance**0.5 if variance else 0.0
        return scaled

    def transform_one(self, x: dict[str, float]) -> dict[str, float]:
        """(value - mean) / standard deviation; 0 for a feature that was never learned or never varied."""
        if x.keys() <= self.vars.keys():
            return super().transform_one(x)  # type: ignore[no-any-return]
        known = {name: value for name, value in x.items() if name in self.vars}
        return {**dict.fromkeys(x, 0.0), **super().transform_one(known)}


class SteadyRegression(linear_model.LinearRegression):  # type: ignore[misc]
    """Linear regression by stochastic gradient descent whose steps never go beyond the row's own target.

    One step changes the prediction of its own row by 2 · rate · (1 + |x|²) of the error. Above 1 that overshoots, and
    above 2 the weights run away: with River's rate of 0.01, from a hundred scaled features on, or a few whose values
    lie far out. Such a row weighs less, so that the step ends at its target (normalised least mean squares).
    """

    def learn_one(self, x: dict[str, float], y: float, w: float = 1.0) -> None:
        """One step. Where it would not overshoot, it is River's, to the bit."""
        values = x.values()
        reach = 2 * self.optimizer.learning_rate * (1 + sum(map(mul, values, values)))
        super().learn_one(x, y, w / reach if reach > 1 else w)


class ScaledRegression:
    """Scaler | TargetStandardScaler(regression), to the bit, without the work that River's pipeline does on its own."""

    def __init__(self, regression: Any) -> None:
        self.scaler = Scaler()
        self.target = stats.Var()
        self.regression = regression

    def learn_one(self, x: dict[str, float], y: float) -> None:
        """One step, on the row and its target as they stand to what came so far, this row included."""
        row = self.scaler.learn_transform_one(x)
        self.target.update(y)
        deviation = self.target.get() ** 0.5
        scaled = (y - self.target.mean.get()) / deviation if deviation else 0.0
        self.regression.learn_one(row, scaled)

    def predict_one(self, x: dict[str, float]) -> float:
        """The value."""
        said = self.regression.predict_one(self.scaler.transform_one(x))
        value: float = said * self.target.get() ** 0.5 + self.target.mean.get()
        return value


class Bag(ensemble.BaggingRegressor):  # type: ignore[misc]
    """River's bagging, each of whose members learns the first row: one that knows nothing would say 0."""

    has_begun = False

    def learn_one(self, x: dict[str, float], y: float, **more: Any) -> None:
        """The first row once for each member; every other as often as a Poisson of mean 1 says."""
        if self.has_begun:
            super().learn_one(x, y, **more)
            return
        self.has_begun = True
        for model in self:
            model.learn_one(x, y, **more)
