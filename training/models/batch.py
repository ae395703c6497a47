"""The batch procedures: scikit-learn fits them on a window of rows."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from core.errors import ConfigurationError
from features.arrays import Floats
from training.models.base import Batch, Model, Procedure, Shape
from training.models.fitted import Constant, Estimator, Linear, SeasonalLinear, Trees, single_threaded


@dataclass(frozen=True)
class Fitter:
    """A batch procedure bound to the shape of its task."""

    procedure: "BatchProcedure"
    shape: Shape

    def fit(self, rows: Floats, labels: Floats) -> Model:
        """A model of these rows."""
        with single_threaded():
            return self.procedure.fit(self.shape, rows, labels)


class BatchProcedure(Procedure):
    """A procedure that fits a new model on a window of labelled rows."""

    kind: ClassVar[Literal["batch"]] = "batch"

    def make(self, shape: Shape) -> Batch:
        """The procedure, bound to a shape."""
        return Fitter(self, shape)

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:
        """A model of these rows."""
        raise NotImplementedError


class LogisticRegression(BatchProcedure):
    """Logistic regression on standardised features. The smaller `C`, the closer it stays to the window's base rate."""

    targets: ClassVar[frozenset[str]] = frozenset({"direction"})
    seconds_per_fit: ClassVar[float] = 0.01
    C: float = Field(default=1.0, gt=0)
    max_iter: int = Field(default=1000, ge=1)

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:  # noqa: ARG002 (nothing random)
        """Weights on the raw features, with the scaling folded in."""
        # Here, as in all procedures: fitted models are plain numbers, so a process that only predicts needs no scikit-
        # learn.
        from sklearn.linear_model import LogisticRegression

        # scikit-learn refuses a window with a single class.
        if (labels == labels[0]).all():
            return Constant(float(labels[0]))
        mean, scale = _scaling(rows)
        fitted = LogisticRegression(C=self.C, max_iter=self.max_iter).fit((rows - mean) / scale, labels)
        # Plain numbers: the model is read back without scikit-learn, and sums in one order.
        return _unscaled(fitted.coef_[0], fitted.intercept_[0], mean, scale, logistic=True)


class Ridge(BatchProcedure):
    """Ridge regression on standardised features."""

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    seconds_per_fit: ClassVar[float] = 0.002
    alpha: float = Field(default=1.0, ge=0)

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:  # noqa: ARG002 (nothing random)
        """Weights on the raw features, with the scaling folded in."""
        from sklearn.linear_model import Ridge

        mean, scale = _scaling(rows)
        fitted = Ridge(alpha=self.alpha).fit((rows - mean) / scale, labels)
        return _unscaled(fitted.coef_, fitted.intercept_, mean, scale, logistic=False)


class SeasonalRidge(BatchProcedure):
    """Ridge regression of the log growth since the last value, on the month and on the lags relative to that value.

    A season's swing grows with the level of the series: logarithms make it additive, and growth makes it stationary.
    """

    targets: ClassVar[frozenset[str]] = frozenset({"value"})
    seconds_per_fit: ClassVar[float] = 0.002
    alpha: float = Field(default=0.3, ge=0)

    def make(self, shape: Shape) -> Batch:
        """Raises ConfigurationError when the task has no two lags or no month."""
        if not {"in_1", "in_2", "month"} <= set(shape.features):
            raise ConfigurationError(
                f"seasonal_ridge needs the features lag 1, lag 2 and month; the task has {', '.join(shape.features)}.",
                "Add them under `features:` in the task file (lags 1 to 12 for a year's season).",
            )
        return super().make(shape)

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:
        """A model of the rows whose lags and label are positive."""
        from sklearn.linear_model import Ridge

        names = sorted((name for name in shape.features if name.startswith("in_")), key=lambda name: int(name[3:]))
        lags = tuple(shape.features.index(name) for name in names)
        unfitted = SeasonalLinear(Linear((), 0.0), lags, shape.features.index("month"))
        # The logarithm has no other values.
        usable = (rows[:, lags] > 0).all(axis=1) & (labels > 0)
        if not usable.any():
            return Constant(math.nan)
        design = unfitted.design(rows[usable])
        fitted = Ridge(alpha=self.alpha).fit(design, np.log(labels[usable]) - np.log(rows[usable, lags[0]]))
        growth = Linear(tuple(fitted.coef_.tolist()), float(fitted.intercept_))
        return SeasonalLinear(growth, unfitted.lags, unfitted.month)


class RandomForest(BatchProcedure):
    """A random forest, tree for tree scikit-learn's. For a direction it averages the share of UP in the leaves.

    Trees are fitted as regressions either way (on labels of 0 and 1 the variance is half the Gini impurity), and
    bootstrapped here rather than in `RandomForestClassifier`, which spends half its time on checks and copies of
    estimators: the same predictions to the bit, in half the time.
    """

    seconds_per_fit: ClassVar[float] = 0.08
    n_estimators: int = Field(default=100, ge=1)
    max_depth: int = Field(default=4, ge=1, le=16)
    min_samples_leaf: int = Field(default=1, ge=1)
    max_features: Literal["sqrt", "log2"] | Annotated[float, Field(gt=0, le=1)] = "sqrt"

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:
        """A forest in plain arrays."""
        from sklearn import config_context
        from sklearn.tree import DecisionTreeRegressor

        narrow, n = rows.astype(np.float32), len(rows)
        random = np.random.RandomState(shape.seed)
        seeds = random.randint(np.iinfo(np.int32).max, size=self.n_estimators).tolist()
        tree = DecisionTreeRegressor(**self.model_dump(exclude={"n_estimators"}), random_state=random)
        trees = []
        with config_context(assume_finite=True, skip_parameter_validation=True):
            for seed in seeds:
                random.seed(seed)  # a new RandomState would cost a quarter of the tree's time
                times = np.bincount(random.randint(0, n, n, dtype=np.int32), minlength=n).astype(np.float64)
                random.seed(seed)
                trees.append(tree.fit(narrow, labels, sample_weight=times, check_input=False).tree_)
        return Trees.of(trees)


class HistGradientBoosting(BatchProcedure):
    """Gradient boosting on binned features."""

    seconds_per_fit: ClassVar[float] = 0.05
    max_iter: int = Field(default=100, ge=1)
    max_depth: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=0.1, gt=0)
    min_samples_leaf: int = Field(default=20, ge=1)
    l2_regularization: float = Field(default=0.0, ge=0)

    def fit(self, shape: Shape, rows: Floats, labels: Floats) -> Model:
        """A boosted ensemble of trees, without early stopping: every row of the window is learned."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        if (labels == labels[0]).all():
            return Constant(float(labels[0]))
        kind = HistGradientBoostingRegressor if shape.target == "value" else HistGradientBoostingClassifier
        # Without early stopping, which would hold out random rows of the window.
        estimator = kind(**self.model_dump(), early_stopping=False, random_state=shape.seed)
        return Estimator(estimator.fit(rows, labels), shape.target)


def _scaling(rows: Floats) -> tuple[Floats, Floats]:
    scale = rows.std(axis=0)
    return rows.mean(axis=0), np.where(scale > 0, scale, 1.0)


def _unscaled(weights: Floats, bias: float, mean: Floats, scale: Floats, *, logistic: bool) -> Linear:
    plain = weights / scale
    return Linear(tuple(plain.tolist()), float(bias - (plain * mean).sum()), logistic)
