"""The batch procedures against scikit-learn itself, and where they leave it."""

import math

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression as PlainLogisticRegression
from sklearn.linear_model import Ridge as PlainRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.models.base import Shape
from training.models.batch import HistGradientBoosting, LogisticRegression, RandomForest, Ridge, SeasonalRidge
from training.models.fitted import Constant

NAMES = ("a", "b", "c", "d", "e")
DIRECTION, VALUE = Shape(NAMES, "direction", seed=3), Shape(NAMES, "value", seed=3)
CHANCE = np.random.default_rng(5)
ROWS = CHANCE.normal(size=(400, 5)) * [1, 10, 0.1, 1, 1] + [0, 5, 0, 0, 0]
UP = (CHANCE.random(400) < 1 / (1 + np.exp(-ROWS[:, 0]))).astype(float)
VALUES = ROWS @ [1.0, 0.2, 3.0, 0.0, -1.0] + CHANCE.normal(size=400)


@pytest.mark.parametrize(
    "parameters",
    [{"max_depth": 4}, {"max_depth": 8, "min_samples_leaf": 5, "max_features": 0.6}, {"max_features": "log2"}],
)
def test_the_forest_is_scikit_learns_to_the_bit(parameters: dict[str, object]) -> None:
    ours = RandomForest.model_validate({"n_estimators": 20, **parameters}).make(DIRECTION).fit(ROWS[:300], UP[:300])
    plain = RandomForestClassifier(20, random_state=3, **{"max_depth": 4, **parameters}).fit(ROWS[:300], UP[:300])

    assert ours.predict(ROWS[300:]).tobytes() == plain.predict_proba(ROWS[300:])[:, 1].tobytes()


def test_the_forest_of_a_value_is_scikit_learns_too() -> None:
    ours = RandomForest(n_estimators=20).make(VALUE).fit(ROWS[:300], VALUES[:300])
    plain = RandomForestRegressor(20, max_depth=4, max_features="sqrt", random_state=3).fit(ROWS[:300], VALUES[:300])

    assert ours.predict(ROWS[300:]).tobytes() == plain.predict(ROWS[300:]).tobytes()


def test_another_seed_grows_another_forest() -> None:
    first, second = (RandomForest().make(Shape(NAMES, "direction", seed)).fit(ROWS, UP) for seed in (1, 2))

    assert (first.predict(ROWS) != second.predict(ROWS)).any()


def test_the_logistic_regression_is_scikit_learns_with_the_scaling_folded_in() -> None:
    ours = LogisticRegression(C=0.05).make(DIRECTION).fit(ROWS[:300], UP[:300])
    plain = make_pipeline(StandardScaler(), PlainLogisticRegression(C=0.05)).fit(ROWS[:300], UP[:300])

    assert np.allclose(ours.predict(ROWS[300:]), plain.predict_proba(ROWS[300:])[:, 1], rtol=1e-12, atol=0)


def test_the_ridge_is_scikit_learns_with_the_scaling_folded_in() -> None:
    ours = Ridge(alpha=2.0).make(VALUE).fit(ROWS[:300], VALUES[:300])
    plain = make_pipeline(StandardScaler(), PlainRidge(2.0)).fit(ROWS[:300], VALUES[:300])

    assert np.allclose(ours.predict(ROWS[300:]), plain.predict(ROWS[300:]), rtol=1e-10)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    rows = ROWS.copy()
    rows[:, 2] = 7.0

    values = LogisticRegression().make(DIRECTION).fit(rows, UP).predict(rows)

    assert np.isfinite(values).all()


@pytest.mark.parametrize("procedure", [LogisticRegression(), HistGradientBoosting(), RandomForest()])
def test_a_window_with_one_kind_of_label_says_that_label(procedure: LogisticRegression) -> None:
    model = procedure.make(DIRECTION).fit(ROWS, np.zeros(400))

    assert model.predict(ROWS[:2]).tolist() == [0.0, 0.0]


def test_a_certain_logistic_regression_does_not_overflow() -> None:
    model = LogisticRegression(C=1.0).make(DIRECTION).fit(ROWS, UP)

    assert model.predict(np.array([[1e6, 0, 0, 0, 0], [-1e6, 0, 0, 0, 0]])).tolist() == [1.0, 0.0]


SEASONAL = Shape(("in_1", "in_2", "in_3", "month"), "value")


def series(months: int) -> tuple[np.ndarray, np.ndarray]:
    """Doubles every December, halves every January, grows by 1 % a month else."""
    growth = {12: math.log(2), 1: -math.log(2)}
    logs = np.cumsum([growth.get(i % 12 + 1, 0.01) for i in range(months)])
    values = 50 * np.exp(logs)
    rows = [[*values[i - 3 : i][::-1], float(i % 12 + 1)] for i in range(3, months)]
    return np.array(rows), values[3:]


def test_the_seasonal_ridge_learns_the_months_growth() -> None:
    rows, labels = series(72)

    model = SeasonalRidge(alpha=1e-6).make(SEASONAL).fit(rows[:60], labels[:60])

    assert np.allclose(model.predict(rows[60:]), labels[60:], rtol=1e-4)


def test_the_seasonal_ridge_forecasts_in_whatever_unit() -> None:
    rows, labels = series(72)
    large = np.hstack([rows[:, :3] * 1e6, rows[:, 3:]])

    small_said = SeasonalRidge().make(SEASONAL).fit(rows[:60], labels[:60]).predict(rows[60:])
    large_said = SeasonalRidge().make(SEASONAL).fit(large[:60], labels[:60] * 1e6).predict(large[60:])

    assert np.allclose(large_said, small_said * 1e6, rtol=1e-9)


def test_the_seasonal_ridge_has_no_forecast_where_growth_has_no_meaning() -> None:
    rows, labels = series(72)
    rows[60, 0] = 0.0

    said = SeasonalRidge().make(SEASONAL).fit(rows, labels).predict(rows[59:62])

    assert np.isnan(said).tolist() == [False, True, False]


def test_a_series_without_positive_values_gets_no_forecast() -> None:
    rows, labels = series(40)

    model = SeasonalRidge().make(SEASONAL).fit(-rows, -labels)

    assert isinstance(model, Constant)
    assert np.isnan(model.predict(rows)).all()
