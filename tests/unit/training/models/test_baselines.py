"""The baselines, by hand."""

import math

import numpy as np

from training.models.base import Incremental, Shape
from training.models.baselines import BaseRate, Naive, SeasonalGrowth, SeasonalNaive

BARE = Shape(("x",), "value")
LAGS = Shape(("in_2", "in_1", "in_3", "x"), "value")


def forecasts(model: Incremental, values: list[float]) -> list[float]:
    row, out = np.zeros(1), []
    for value in values:
        out.append(float(model.predict(row[None])[0]))
        model.learn(row, value)
    return [*out, float(model.predict(row[None])[0])]


def test_the_base_rate_is_the_mean_of_the_labels_so_far() -> None:
    said = forecasts(BaseRate().make(BARE), [1.0, 0.0, 0.0, 1.0])

    assert math.isnan(said[0])
    assert said[1:] == [1.0, 0.5, 1 / 3, 0.5]


def test_the_naive_says_the_last_value() -> None:
    said = forecasts(Naive().make(BARE), [3.0, 5.0])

    assert math.isnan(said[0])
    assert said[1:] == [3.0, 5.0]


def test_the_seasonal_naive_says_the_value_of_a_season_ago() -> None:
    said = forecasts(SeasonalNaive(season=3).make(BARE), [1.0, 2.0, 3.0, 4.0])

    assert np.isnan(said[:3]).all()
    assert said[3:] == [1.0, 2.0]


def test_the_seasonal_growth_repeats_the_growth_since_a_season_ago() -> None:
    said = forecasts(SeasonalGrowth(season=2).make(BARE), [10.0, 30.0, 20.0, 60.0])

    assert np.isnan(said[:3]).all()
    assert said[3:] == [30.0 * 20.0 / 10.0, 20.0 * 60.0 / 30.0]


def test_growth_from_zero_is_no_forecast() -> None:
    assert math.isnan(forecasts(SeasonalGrowth(season=2).make(BARE), [0.0, 30.0, 20.0])[-1])


def test_the_lags_of_the_first_row_bring_the_history_before_it() -> None:
    model = SeasonalNaive(season=3).make(LAGS)

    said = model.predict(np.array([[2.0, 3.0, 1.0, 0.0]]))  # in_1 = 3, in_2 = 2, in_3 = 1

    assert said.tolist() == [1.0]


def test_a_model_that_is_behind_forecasts_the_rows_target() -> None:
    model = Naive().make(LAGS)
    model.learn(np.array([2.0, 3.0, 1.0, 0.0]), 4.0)

    next_row, one_later = [3.0, 4.0, 2.0, 0.0], [4.0, 5.0, 3.0, 0.0]

    assert model.predict(np.array([next_row, one_later])).tolist() == [4.0, 5.0]
    assert model.predict(np.array([next_row])).tolist() == [4.0]


def test_a_model_that_is_behind_learns_what_it_missed_before_the_label() -> None:
    behind, straight = SeasonalGrowth(season=2).make(LAGS), SeasonalGrowth(season=2).make(LAGS)
    rows = np.array([[2.0, 3.0, 1.0, 0.0], [3.0, 4.0, 2.0, 0.0], [4.0, 6.0, 3.0, 0.0]])
    for row, label in zip(rows[:2], (4.0, 6.0), strict=True):
        straight.learn(row, label)
    behind.learn(rows[0], 4.0)

    for model in (behind, straight):
        model.learn(rows[2], 9.0)

    assert behind.predict(rows[2:]).tolist() == straight.predict(rows[2:]).tolist() == [6.0 * 9.0 / 4.0]


def test_lags_that_were_restated_are_passed_over() -> None:
    model = Naive().make(LAGS)
    model.learn(np.array([2.0, 3.0, 1.0, 0.0]), 4.0)

    assert model.predict(np.array([[3.5, 4.0, 2.0, 0.0]])).tolist() == [4.0]


def test_a_direction_is_not_mixed_up_with_lags() -> None:
    model = Naive().make(Shape(("in_1",), "direction"))

    assert np.isnan(model.predict(np.array([[1500.0]]))).all()

    model.learn(np.array([1500.0]), 1.0)
    assert model.predict(np.array([[1501.0]])).tolist() == [1.0]
