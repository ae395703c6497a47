"""Losses and metrics, by hand and against scikit-learn."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as plain

from core.config.tasks import Task
from training.evaluation import losses as scoring

CHANCE = np.random.default_rng(2)
UP = (CHANCE.random(600) < 0.6).astype(float)
SAID = CHANCE.uniform(0.3, 0.7, 600)


def board(values: dict[str, list[float | None]], labels: list[float | None]) -> pl.DataFrame:
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(len(labels))]
    parts = [
        pl.DataFrame({"target_date": days, "contender": name, "value": column, "label": labels}, strict=False)
        for name, column in values.items()
    ]
    return pl.concat(parts, how="vertical_relaxed")


def test_only_rows_that_all_contenders_predicted_are_compared() -> None:
    values = {"a": [None, 0.2, 0.3, math.nan, 0.5, 0.6], "b": [0.1, 0.2, None, 0.4, 0.5, 0.6], "c": [None] * 6}

    rows = scoring.paired(board(values, [1.0, 0.0, 1.0, 1.0, 0.0, None]), ["b", "a"])

    assert rows.columns == ["target_date", "label", "b", "a"]
    assert rows["target_date"].to_list() == [date(2020, 1, 2), date(2020, 1, 5)]
    assert rows["label"].to_list() == [0.0, 0.0]
    assert rows["a"].to_list() == rows["b"].to_list() == [0.2, 0.5]


def test_a_contender_compared_with_itself_has_one_column() -> None:
    rows = scoring.paired(board({"a": [0.5]}, [1.0]), ["a", "a"])

    assert rows.columns == ["target_date", "label", "a"]


def test_a_contender_without_any_prediction_leaves_no_row() -> None:
    rows = scoring.paired(board({"a": [0.5]}, [1.0]), ["a", "b"])

    assert rows.is_empty()
    assert rows.columns == ["target_date", "label", "a", "b"]


def test_the_metrics_of_a_direction_are_scikit_learns(spy: Task) -> None:
    found = scoring.metrics(spy, UP, SAID)

    assert found == pytest.approx(
        {
            "accuracy": plain.accuracy_score(UP, SAID >= 0.5),
            "brier": plain.brier_score_loss(UP, SAID),
            "log_loss": plain.log_loss(UP, SAID),
        },
        rel=1e-12,
    )


def test_up_is_said_from_the_threshold_on(spy: Task) -> None:
    cautious = spy.model_copy(update={"target": spy.target.model_copy(update={"threshold": 0.6})})
    labels, said = np.array([1.0, 0.0, 1.0]), np.array([0.6, 0.59, 0.5])

    assert scoring.metrics(cautious, labels, said)["accuracy"] == pytest.approx(2 / 3)


def test_certainty_that_was_wrong_costs_much_but_not_everything(spy: Task) -> None:
    found = scoring.metrics(spy, np.array([1.0, 0.0]), np.array([0.0, 0.0]))

    assert found["log_loss"] == pytest.approx(-math.log(1e-15) / 2)
    assert found["brier"] == 0.5


def test_the_metrics_of_a_value_are_scikit_learns(airline: Task) -> None:
    labels, said = UP + 1, SAID + 1

    assert scoring.metrics(airline, labels, said) == pytest.approx(
        {
            "mae": plain.mean_absolute_error(labels, said),
            "rmse": plain.root_mean_squared_error(labels, said),
            "mape": plain.mean_absolute_percentage_error(labels, said),
        },
        rel=1e-12,
    )


def test_a_label_of_zero_does_not_count_in_the_percentage(airline: Task) -> None:
    found = scoring.metrics(airline, np.array([0.0, 10.0]), np.array([1.0, 9.0]))

    assert found == pytest.approx({"mae": 1.0, "rmse": 1.0, "mape": 0.1})
    assert "mape" not in scoring.metrics(airline, np.zeros(3), np.ones(3))


def test_no_rows_have_no_metrics(spy: Task, airline: Task) -> None:
    for task in (spy, airline):
        assert scoring.metrics(task, np.empty(0), np.empty(0)) == {}
        assert scoring.over_time(task, np.empty(0), np.empty(0)).is_empty()


def test_the_mean_of_the_losses_is_the_tasks_metric(spy: Task, airline: Task) -> None:
    for task in (spy, airline):
        losses = scoring.losses(task, UP, SAID)

        assert losses.shape == (600,)
        assert losses.mean() == pytest.approx(scoring.metrics(task, UP, SAID)[task.metric])


@pytest.mark.parametrize("count", [1, 50, 200, 201, 600])
def test_metrics_over_time_have_few_points_and_end_with_all_rows(spy: Task, count: int) -> None:
    course = scoring.over_time(spy, UP[:count], SAID[:count])

    assert len(course) == min(count, 200)
    assert course["rows"].is_sorted()
    assert course["rows"][-1] == count
    assert course.row(-1, named=True)["brier"] == pytest.approx(scoring.metrics(spy, UP[:count], SAID[:count])["brier"])


def test_each_point_stands_on_the_rows_before_it_alone(airline: Task) -> None:
    course = scoring.over_time(airline, UP + 1, SAID + 1, points=7)

    for point in course.iter_rows(named=True):
        rows = point["rows"]
        so_far = scoring.metrics(airline, UP[:rows] + 1, SAID[:rows] + 1)
        assert {name: point[name] for name in so_far} == pytest.approx(so_far, rel=1e-9)
        if rows < 24:
            assert point["recent_rmse"] is None
        else:
            recent = scoring.metrics(airline, UP[rows - 24 : rows] + 1, SAID[rows - 24 : rows] + 1)
            assert {name: point[f"recent_{name}"] for name in recent} == pytest.approx(recent, rel=1e-9)
