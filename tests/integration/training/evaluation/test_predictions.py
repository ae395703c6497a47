"""Predictions and outcomes on a real Postgres: kept once, never rewritten, and met on one scoreboard."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa

from core.config.tasks import Task
from features.dataset import Dataset
from tests.support.stage import a_task
from training.evaluation import outcomes, predictions, scoreboard
from training.evaluation.scoreboard import Scope

NOW = datetime(2021, 1, 1, tzinfo=UTC)
LATER = datetime(2100, 1, 1, tzinfo=UTC)
FIRST = date(2020, 1, 1)


@pytest.fixture
def task() -> Task:
    return a_task()


def days(n: int) -> list[date]:
    return [FIRST + timedelta(days=i) for i in range(n)]


def said(values: list[float | None], begin: int = 0) -> pl.DataFrame:
    dates = [FIRST + timedelta(days=begin + i) for i in range(len(values))]
    return pl.DataFrame(
        {
            "event_date": [day - timedelta(days=1) for day in dates],
            "target_date": dates,
            "trained_through": [None, *dates[:-1]],
            "value": values,
        },
        schema_overrides={"value": pl.Float64, "trained_through": pl.Date},
    )


def labelled(task: Task, labels: list[float | None], as_of: datetime = NOW) -> Dataset:
    known = [None if label is None else as_of - timedelta(days=1) for label in labels]
    columns = {
        "event_date": [day - timedelta(days=1) for day in days(len(labels))],
        "target_date": days(len(labels)),
        "in_1": [0.0] * len(labels),
        "label": labels,
        "label_known_at": known,
    }
    instant = pl.Datetime("us", "UTC")
    table = pl.DataFrame(columns, schema_overrides={"label": pl.Float64, "label_known_at": instant})
    return Dataset(task.name, "s", "test", as_of, table, ("in_1",), "hash")


def put(engine: sa.Engine, task: Task, contender: str, rows: pl.DataFrame, made_at: datetime = NOW) -> int:
    with engine.begin() as connection:
        return predictions.record(connection, task, "s", contender, rows, made_at)


def learn(engine: sa.Engine, task: Task, dataset: Dataset) -> outcomes.LabelWrite:
    with engine.begin() as connection:
        return outcomes.record(connection, task, dataset)


def test_a_prediction_is_kept_to_the_bit_and_never_rewritten(engine: sa.Engine, task: Task) -> None:
    values = np.random.default_rng(0).normal(size=500).tolist()
    assert put(engine, task, "naive", said(values)) == 500

    added = put(engine, task, "naive", said([0.0] * 501))

    assert added == 1
    board = predictions.scoreboard(engine, task, "s")
    assert board["value"].to_list() == [*values, 0.0]


def test_no_prediction_yet_is_null_and_not_a_number(engine: sa.Engine, task: Task) -> None:
    put(engine, task, "naive", said([float("nan"), None, 1.0]))

    board = predictions.scoreboard(engine, task, "s")

    assert board["value"].to_list() == [None, None, 1.0]
    assert board["trained_through"].to_list() == [None, *days(2)]


def test_the_scoreboard_shows_the_contenders_as_they_are_declared_now(engine: sa.Engine, task: Task) -> None:
    put(engine, task, "naive", said([1.0]))
    put(engine, task, "ridge", said([2.0]))
    changed = {**task.contenders, "ridge": task.contenders["ridge"].model_copy(update={"seed": 8})}
    other = task.model_copy(update={"contenders": changed})

    assert predictions.scoreboard(engine, other, "s")["contender"].to_list() == ["naive"]
    assert predictions.scoreboard(engine, task, "another").is_empty()
    with engine.connect() as connection:
        assert predictions.extent(connection, task, "s") == (2, FIRST - timedelta(days=1))
        assert predictions.extent(connection, other, "s")[0] == 1


def test_labels_join_when_they_are_known_late_or_out_of_order(engine: sa.Engine, task: Task) -> None:
    put(engine, task, "naive", said([1.0, 2.0, 3.0]))
    learn(engine, task, labelled(task, [None, 5.0, None]))
    assert predictions.scoreboard(engine, task, "s")["label"].to_list() == [None, 5.0, None]

    recorded = learn(engine, task, labelled(task, [4.0, 5.0, None]))

    assert recorded == outcomes.LabelWrite(new=1, restated=0)
    assert predictions.scoreboard(engine, task, "s")["label"].to_list() == [4.0, 5.0, None]


def test_a_label_sent_twice_is_one_and_a_restated_one_is_a_new_row(engine: sa.Engine, task: Task) -> None:
    first = labelled(task, [1.0, 0.0])
    assert learn(engine, task, first) == outcomes.LabelWrite(2, 0)
    assert learn(engine, task, first) == outcomes.LabelWrite(0, 0)
    later = NOW + timedelta(days=30)

    restated = learn(engine, task, labelled(task, [1.0, 1.0], later))

    assert restated == outcomes.LabelWrite(0, 1)
    with engine.connect() as connection:
        assert outcomes.newest(connection, task, "s")["label"].to_list() == [1.0, 1.0]
        assert outcomes.newest(connection, task, "s", NOW)["label"].to_list() == [1.0, 0.0]
        assert outcomes.count(connection, task, "s", later) == 3
        assert outcomes.count(connection, task, "s", NOW) == 2


def test_an_older_view_of_the_data_restates_nothing(engine: sa.Engine, task: Task) -> None:
    learn(engine, task, labelled(task, [1.0, 0.0]))
    learn(engine, task, labelled(task, [1.0, 1.0], NOW + timedelta(days=30)))

    assert learn(engine, task, labelled(task, [1.0, 0.0])) == outcomes.LabelWrite(0, 0)

    with engine.connect() as connection:
        assert outcomes.newest(connection, task, "s")["label"].to_list() == [1.0, 1.0]


def test_the_first_dates_of_a_task_are_predicted_and_not_scored(engine: sa.Engine, task: Task) -> None:
    put(engine, task, "naive", said([1.0, 2.0, 3.0, 4.0]))
    put(engine, task, "ridge", said([None, 2.0, 3.0, 4.0]))
    learn(engine, task, labelled(task, [1.0, 1.0, 1.0, None]))
    starts_late = task.model_copy(update={"scored_from": 1})

    scored = predictions.scored(starts_late, predictions.scoreboard(engine, starts_late, "s"))

    assert scored["target_date"].unique().sort().to_list() == days(3)[1:]
    board = scoreboard.read(engine, Scope.of(starts_late, "s"), LATER)
    assert board.target_dates.tolist() == days(3)[1:]
    assert board.labels.tolist() == [1.0, 1.0]
    assert board.tracks["ridge"].values.tolist() == [2.0, 3.0]
    assert board.tracks["naive"].trained_through.tolist() == days(2)


def test_a_contender_that_began_later_has_no_value_before(engine: sa.Engine, task: Task) -> None:
    put(engine, task, "naive", said([1.0, 2.0, 3.0]))
    put(engine, task, "ridge", said([9.0], begin=2))
    learn(engine, task, labelled(task, [1.0, 1.0, 1.0]))

    board = scoreboard.read(engine, Scope.of(task, "s"), LATER)

    assert np.isnan(board.tracks["ridge"].values).tolist() == [True, True, False]


def test_predictions_and_watermark_are_rolled_back_together(engine: sa.Engine, task: Task) -> None:
    with engine.connect() as connection:
        predictions.record(connection, task, "s", "naive", said([1.0]), NOW)
        connection.rollback()

    assert predictions.scoreboard(engine, task, "s").is_empty()
    assert put(engine, task, "naive", replace_value(said([1.0]), 2.0)) == 1


def replace_value(rows: pl.DataFrame, value: float) -> pl.DataFrame:
    return rows.with_columns(pl.lit(value).alias("value"))
