"""River's models behind our protocol: the same numbers as River itself, and silence where it would raise or guess."""

import math

import numpy as np
import pytest
from river import linear_model, optim, preprocessing, time_series

from core.errors import DataRefusedError
from training.models.base import Incremental, Shape
from training.models.incremental import RiverHoltWinters, RiverLinearRegression, RiverLogisticRegression, RiverSnarimax

NAMES = ("a", "b", "c")
CHANCE = np.random.default_rng(11)
ROWS = CHANCE.normal(size=(200, 3)) * [1, 100, 0.01]
SERIES = [50 + i + 10 * math.sin(i / 2) + float(CHANCE.normal()) for i in range(60)]
BARE = Shape(("x",), "value")


def forecasts(model: Incremental, values: list[float]) -> list[float]:
    row, said = np.zeros(1), []
    for value in values:
        said.append(float(model.predict(row[None])[0]))
        model.learn(row, value)
    return said


def test_the_logistic_regression_is_rivers() -> None:
    labels = (ROWS[:, 0] > 0).astype(float)
    ours = RiverLogisticRegression(learning_rate=0.02).make(Shape(NAMES, "direction"))
    plain = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.02))

    for row, label in zip(ROWS, labels, strict=True):
        x = dict(zip(NAMES, row.tolist(), strict=True))
        said = float(ours.predict(row[None])[0])
        assert math.isnan(said) or said == plain.predict_proba_one(x)[True]
        ours.learn(row, float(label))
        plain.learn_one(x, bool(label))


def test_the_linear_regression_does_not_care_for_the_targets_unit() -> None:
    labels = ROWS @ [2.0, 0.03, 100.0] + 500
    said = []
    for unit in (1.0, 1e6):
        model = RiverLinearRegression().make(Shape(NAMES, "value"))
        for row, label in zip(ROWS, labels, strict=True):
            model.learn(row, float(label * unit))
        said.append(model.predict(ROWS) / unit)

    assert np.allclose(said[0], said[1], rtol=1e-6)
    assert np.abs(said[0] - labels).mean() < 0.3 * np.abs(labels.mean() - labels).mean()


def test_holt_winters_is_rivers_and_silent_before_its_first_season() -> None:
    ours = RiverHoltWinters(alpha=0.3, beta=0.1, gamma=0.6, season=6, multiplicative=True).make(BARE)
    plain = time_series.HoltWinters(0.3, 0.1, 0.6, 6, True)

    said = forecasts(ours, SERIES)

    expected = []
    for i, value in enumerate(SERIES):
        expected.append(plain.forecast(1)[0] if i >= 6 else math.nan)
        plain.learn_one(value)
    assert np.array(said).tobytes() == np.array(expected).tobytes()


def test_snarimax_is_rivers_and_silent_before_it_can_difference() -> None:
    ours = RiverSnarimax(p=2, d=1, q=2, m=6, sd=1, learning_rate=0.01).make(BARE)
    plain = time_series.SNARIMAX(p=2, d=1, q=2, m=6, sd=1)

    said = forecasts(ours, SERIES)

    expected = []
    for i, value in enumerate(SERIES):
        expected.append(plain.forecast(1)[0] if i >= 7 else math.nan)
        plain.learn_one(value)
    assert np.array(said).tobytes() == np.array(expected).tobytes()


def test_the_first_rows_lags_complete_the_first_season() -> None:
    shape = Shape(tuple(f"in_{n}" for n in range(1, 7)), "value")
    seeded = RiverHoltWinters(season=6).make(shape)
    straight = RiverHoltWinters(season=6).make(BARE)
    forecasts(straight, SERIES[:6])

    assert seeded.predict(np.array([SERIES[5::-1]])).tolist() == straight.predict(np.zeros((1, 1))).tolist()


def test_a_multiplicative_season_refuses_what_it_would_divide_by() -> None:
    model = RiverHoltWinters(season=2, multiplicative=True).make(BARE)

    with pytest.raises(DataRefusedError, match=r"given 0\.0; it can only follow positive values"):
        model.learn(np.zeros(1), 0.0)


def test_a_value_that_is_not_finite_is_no_prediction() -> None:
    model = RiverLinearRegression().make(Shape(NAMES, "value"))
    for row in ROWS:
        model.learn(row, float(row[0]))

    assert np.isnan(model.predict(np.full((1, 3), math.inf))).all()
